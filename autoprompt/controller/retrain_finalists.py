"""Confirmation: the finalists' plans carried out again with other seeds.

The best of many trials is partly the luckiest. Its mean over other seeds is not.
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from ray import tune
from ray.tune import (
    Callback,
    FailureConfig,
    PlacementGroupFactory,
    RunConfig,
    TuneConfig,
    Tuner,
)
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from autoprompt.controller.callbacks.watchdog import Supervisor
from autoprompt.controller.ray_cluster import Cluster
from autoprompt.evaluation.candidates import CANDIDATES, best_distinct
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.trial import TrialRunner


def confirm(
    prepared: Prepared, store: Store, search: SearchRecord, here: Cluster, progress: SearchProgress
) -> None:
    """Carry out every repeat that the store does not have yet; each is stored as it ends.

    Raises:
        KeyboardInterrupt: stopped before all of them were carried out.
    """
    spec = prepared.config.confirm
    assert spec is not None
    chosen = best_distinct(store.prompts(search.id, limit=CANDIDATES), spec.top)
    plans = {trial.number: trial.plan for trial in store.leaderboard(search.id, CANDIDATES)}
    done = {(repeat.number, repeat.repeat) for repeat in store.confirmations(search.id)}
    waiting = [
        {
            "number": prompt.number,
            "repeat": repeat,
            "plan": plans[prompt.number]
            | {
                name: _seed(plans[prompt.number].get(name, 0), repeat)
                for name in ("seed", "data_seed")
            },
        }
        for repeat in range(1, spec.seeds + 1)
        for prompt in chosen
        if (prompt.number, repeat) not in done
    ]
    if not waiting:
        return
    progress.say(
        f"training the best {len(chosen)} again with {spec.seeds} other seeds: "
        f"{len(waiting)} runs to go"
    )
    with progress.counting("repeats", len(waiting)) as advance:
        keeper = _Keeper(store, search.id, progress, advance)
        supervisor = Supervisor(prepared.config.search.hung_after_seconds, progress)
        _carry_out(waiting, prepared, here, keeper, supervisor)
    missing = len(waiting) + len(done) - len(store.confirmations(search.id))
    if missing:
        raise KeyboardInterrupt(f"stopped with {missing} repeats of finalists to go")


def _seed(seed: int, repeat: int) -> int:
    """The seed of a repeat: it follows from the trial's own."""
    return random.Random(f"{seed}/repeat {repeat}").getrandbits(31)


def _carry_out(
    waiting: Sequence[dict[str, Any]],
    prepared: Prepared,
    here: Cluster,
    keeper: "_Keeper",
    supervisor: Supervisor,
) -> None:
    spec = prepared.config.search
    trainable = tune.with_resources(
        tune.with_parameters(TrialRunner, job=prepared.job), PlacementGroupFactory([here.needs])
    )
    # Tune wants a folder for its own state; nothing in it is read again.
    scratch = tempfile.mkdtemp(prefix="autoprompt-")
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=_Listed(waiting),
            num_samples=len(waiting),
            max_concurrent_trials=None if spec.workers == "auto" else spec.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: (
                f"trial-{_repeat(trial)['number']}-repeat-{_repeat(trial)['repeat']}"
            ),
        ),
        run_config=RunConfig(
            name="confirmation",
            storage_path=scratch,
            verbose=0,
            callbacks=[keeper, supervisor],
            stop=supervisor,
            failure_config=FailureConfig(max_failures=spec.attempts - 1),
        ),
    )
    try:
        with supervisor.listening():
            tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Listed(Searcher):
    """Hands out a list's items, one a trial."""

    def __init__(self, items: Sequence[dict[str, Any]]) -> None:
        super().__init__(metric="score", mode="max")
        self._items = list(items)

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        return {"trials": [self._items.pop(0)]} if self._items else str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing is learnt from a repeat."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts into its scratch folder."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, likewise."""


class _Keeper(Callback):
    """Stores each repeat when it has ended, with its best rung, as a trial is judged by its own."""

    def __init__(
        self,
        store: Store,
        search_id: int,
        progress: SearchProgress,
        advance: Callable[[int], None],
    ) -> None:
        self._store = store
        self._search_id = search_id
        self._progress = progress
        self._advance = advance
        self._best: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        [report] = result["reports"]
        report.pop("prompt", None), report.pop("log_probs", None)
        key = trial.trial_id
        self._seconds[key] = self._seconds.get(key, 0.0) + report["seconds"]
        if "error" in report:
            self._keep(trial, error=report["error"])
            return
        known = self._best.get(key)
        better = known is None or (report["score"], -report["loss"]) > (
            known["score"],
            -known["loss"],
        )
        if better:
            self._best[key] = {name: report[name] for name in ("score", "loss")}

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        if trial.trial_id in self._best and trial.last_result["reports"][-1].get("ended"):
            self._keep(trial)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker itself died."""
        cause = str(trial.get_pickled_error() or "the worker process died").strip()
        self._keep(trial, error=cause.splitlines()[0])

    def _keep(self, trial: Trial, error: str | None = None) -> None:
        best = self._best.get(trial.trial_id) if error is None else None
        which = _repeat(trial)
        number, repeat = which["number"], which["repeat"]
        seconds = self._seconds.get(trial.trial_id, 0.0)
        last = trial.last_result or {}
        self._store.record_confirmation(
            self._search_id,
            number,
            repeat=repeat,
            seed=which["plan"]["seed"],
            score=best["score"] if best else None,
            loss=best["loss"] if best else None,
            seconds=seconds,
            worker=f"{last['hostname']}:{last['pid']}" if "pid" in last else None,
            error=error,
        )
        told = f"{best['score']:.4f}" if best else f"failed: {error}"
        self._progress.say(f"trial {number:>3}  repeat {repeat}  {told}  {seconds:.0f} s")
        self._advance(1)


def _repeat(trial: Trial) -> dict[str, Any]:
    """Each of Tune's trials carries out one repeat."""
    [which] = trial.config["trials"]
    return which
