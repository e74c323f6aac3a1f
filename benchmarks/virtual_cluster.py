"""Any number of workers under a virtual clock: the real dispatch, searcher, early stopping and
store decide, recorded curves say what happens, and nothing is waited for.

Time passes in two ways: a rung takes as long as it was recorded to take, and a decision as long as
it takes here; the controller makes one at a time, as Ray Tune's does.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from autoprompt.controller.dispatch import Dispatch, Task
from autoprompt.controller.executor import Executor
from autoprompt.workers.report import Report, Step
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats
from benchmarks.curves import Curves
from benchmarks.simulated import ReplayWorker

R = TypeVar("R")


@dataclass
class Outcome:
    """How a virtual search went.

    Attributes:
        makespan: virtual seconds from the first decision to the last.
        busy: virtual seconds of work, of all workers together.
        decisions: real seconds of each decision: a step taken in, or a task begun.
    """

    workers: int
    makespan: float = 0.0
    busy: float = 0.0
    decisions: list[float] = field(default_factory=list)

    @property
    def utilisation(self) -> float:
        return self.busy / (self.workers * self.makespan)


class VirtualCluster(Executor):
    """Virtual workers, one trial each.

    Args:
        seconds_to_start: virtual seconds before a trial's first rung begins.

    Attributes:
        outcome: of the last run.
    """

    def __init__(self, workers: int, seconds_to_start: float = 0.0) -> None:
        self.workers = workers
        self.outcome = Outcome(workers)
        self._seconds_to_start = seconds_to_start

    def run(self, dispatch: Dispatch, job: Any, name: str) -> bool:
        assert isinstance(job, Curves)
        outcome = self.outcome = Outcome(self.workers)
        order = itertools.count()
        steps: list[tuple[float, int, Task, ReplayWorker, Step]] = []
        now = free_at = 0.0  # when the controller has nothing more to decide

        def begin() -> tuple[Task, ReplayWorker] | None:
            task = dispatch.next()
            if task is None:
                return None
            dispatch.began(task)
            worker = ReplayWorker(job)
            worker.begin(task.trials)
            return task, worker

        def advance(task: Task, worker: ReplayWorker, at: float) -> None:
            step = worker.advance()
            [report] = step.reports
            assert isinstance(report, Report)
            outcome.busy += report.seconds
            heapq.heappush(steps, (at + report.seconds, next(order), task, worker, step))

        def decide(what: Any, *arguments: Any) -> Any:
            nonlocal free_at
            started = time.perf_counter()
            made = what(*arguments)
            outcome.decisions.append(time.perf_counter() - started)
            free_at = max(free_at, now) + outcome.decisions[-1]
            return made

        idle = self.workers
        while True:
            while idle and (begun := decide(begin)) is not None:
                idle -= 1
                task, worker = begun
                advance(task, worker, free_at + self._seconds_to_start)
            if not steps:
                break
            now, _, task, worker, step = heapq.heappop(steps)
            decide(dispatch.reported, task, step)
            if task.trials:
                advance(task, worker, free_at)
            else:
                idle += 1
        outcome.makespan = max(now, free_at)
        return True

    def on_worker(self, function: Callable[..., R], *arguments: Any) -> R:
        raise NotImplementedError("curves have no workers")

    def on_workers(
        self, function: Callable[..., Iterator[R]], calls: Sequence[Sequence[Any]]
    ) -> Iterator[R]:
        raise NotImplementedError("curves have no workers")

    def score_texts(
        self,
        job: Any,
        prompts: Sequence[bytes],
        texts: Sequence[Text],
        baselines: Sequence[tuple[str, bytes]] = (),
    ) -> Floats:
        raise NotImplementedError("curves know no texts")
