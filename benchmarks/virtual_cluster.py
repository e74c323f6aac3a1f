"""Any number of workers under a virtual clock: the real searcher, early stopping and store decide,
recorded curves say what happens, and nothing is waited for.

Time passes in two ways: a rung takes as long as it was recorded to take, and a decision as long as
it takes here; the controller makes one at a time, as Ray Tune's does.
"""

import heapq
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import TrialScheduler

from autoprompt.config import SearchSpec
from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.callbacks.store_writer import Recorder
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.resume import Past
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces import Space
from autoprompt.store import Store
from benchmarks.curves import Curves
from benchmarks.simulated import Replay


@dataclass(eq=False)
class VirtualTrial:
    """As much of Ray Tune's trial as the searcher, the ladders and the recorder look at."""

    trial_id: str
    config: dict[str, Any]
    results: Iterator[dict[str, Any]]


@dataclass
class Outcome:
    """How a virtual search went.

    Attributes:
        makespan: virtual seconds from the first decision to the last.
        busy: virtual seconds of work, of all workers together.
        decisions: real seconds of each decision: a result taken in, or a trial started.
    """

    workers: int
    makespan: float = 0.0
    busy: float = 0.0
    decisions: list[float] = field(default_factory=list)

    @property
    def utilisation(self) -> float:
        return self.busy / (self.workers * self.makespan)


def run(
    space: Space,
    spec: SearchSpec,
    store: Store,
    search_id: int,
    curves: Curves,
    past: Past = Past(),  # noqa: B008 - it cannot change
    seconds_to_start: float = 0.0,
) -> Outcome:
    """Spend a search's budget on `spec.workers` virtual workers.

    Calls come in the order in which Tune's controller makes them.

    Args:
        seconds_to_start: virtual seconds before a trial's first rung begins.
    """
    assert spec.workers != "auto"
    searcher = OptunaSearcher(space, spec.seed, past=past.trials)
    ladders = AshaByKind(space.kinds, spec.rungs, spec.reduction_factor, past.ended)
    recorder = Recorder(store, search_id, SearchProgress(quiet=True), {}, past.again)
    outcome = Outcome(spec.workers)
    order = itertools.count()
    reports: list[tuple[float, int, VirtualTrial, dict[str, Any]]] = []
    free_at = 0.0  # when the controller has nothing more to decide
    left = spec.trials - len(past.ended)

    def begin_rung(trial: VirtualTrial, at: float) -> None:
        result = next(trial.results) | {"hostname": "virtual", "pid": 0}
        seconds = result["reports"][0]["seconds"]
        outcome.busy += seconds
        heapq.heappush(reports, (at + seconds, next(order), trial, result))

    def start_trial() -> VirtualTrial:
        trial_id = str(next(order))
        config = searcher.suggest(trial_id)
        assert isinstance(config, dict)
        trial = VirtualTrial(trial_id, config, iter(Replay(config["trials"][0], curves)))
        ladders.on_trial_add(None, trial)
        recorder.on_trial_start(0, [], trial)
        return trial

    def take_in(trial: VirtualTrial, result: dict[str, Any]) -> bool:
        """Whether the trial goes on."""
        stop = ladders.on_trial_result(None, trial, result) == TrialScheduler.STOP
        if not stop:
            searcher.on_trial_result(trial.trial_id, result)
        recorder.on_trial_result(0, [], trial, result)
        if stop:
            ladders.on_trial_complete(None, trial, result)
            searcher.on_trial_complete(trial.trial_id, result)
        return not stop

    def decide(what: Any, *arguments: Any) -> tuple[Any, float]:
        """What came of a decision, and when by the virtual clock."""
        nonlocal free_at
        started = time.perf_counter()
        made = what(*arguments)
        seconds = time.perf_counter() - started
        outcome.decisions.append(seconds)
        free_at = max(free_at, now) + seconds
        return made, free_at

    now = 0.0
    idle = spec.workers
    while reports or left:
        while idle and left:
            idle, left = idle - 1, left - 1
            trial, at = decide(start_trial)
            begin_rung(trial, at + seconds_to_start)
        now, _, trial, result = heapq.heappop(reports)
        goes_on, at = decide(take_in, trial, result)
        if goes_on:
            begin_rung(trial, at)
        else:
            idle += 1
    outcome.makespan = max(now, free_at)
    return outcome
