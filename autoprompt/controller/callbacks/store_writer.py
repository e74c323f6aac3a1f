"""Writes what Ray Tune's trials report into the store, and says it on stderr."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.tune import Callback, PlacementGroupFactory
from ray.tune.experiment import Trial

from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.store import Store, TrialRecord
from autoprompt.workers.prompt import Prompt


@dataclass
class _Live:
    """What is stored of a trial that has not ended.

    Attributes:
        note: why it begins again.
    """

    kind: str
    rungs: set[int] = field(default_factory=set)
    best: float = 0.0
    seconds: float = 0.0
    note: str = ""


class Recorder(Callback):
    """Tune's events, one transaction each.

    Runs in the controller's process, which is the only writer of the store. The prompt and its
    predictions are taken out of the result once stored, so that Tune neither keeps nor copies them.
    A trial that begins again, because its worker or its controller died, reports its first rungs
    once more; the store keeps those it has.

    Args:
        hung: number of each trial that was given up because it hung -> why.
        again: the trials of a resumed search that begin again.

    Attributes:
        error: why nothing more is written; the search ends with it. Tune would hide it.
    """

    def __init__(
        self,
        store: Store,
        search_id: int,
        progress: SearchProgress,
        hung: Mapping[int, str],
        again: Sequence[TrialRecord] = (),
    ) -> None:
        self._store = store
        self._search_id = search_id
        self._progress = progress
        self._hung = hung
        self._live: dict[int, _Live] = {}
        self._again = {trial.number: _known(trial) for trial in again}
        self._told: set[str] = set()
        self._needs: PlacementGroupFactory | None = None
        self.error: AutopromptError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        for drawn in trial.config["trials"]:
            self._begin(drawn)

    def _begin(self, drawn: dict[str, Any]) -> None:
        number, kind = drawn["number"], drawn["plan"]["kind"]
        live = self._again.pop(number, None)
        if live is not None:
            self._write(self._store.restart_trial, number, live.note)
        else:
            live = _Live(kind)
            self._write(
                self._store.start_trial,
                number,
                kind=kind,
                plan=drawn["plan"],
                params=drawn["params"],
                distributions={
                    name: json.loads(each) for name, each in drawn["distributions"].items()
                },
            )
        self._live[number] = live

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        worker = f"{result['hostname']}:{result['pid']}"
        slower = result.get("slower")
        if slower and slower not in self._told:
            self._told.add(slower)
            self._progress.say(f"trials are slower than they might be: {slower}")
        work = {name: result[name] for name in ("models_loaded", "texts_encoded")}
        for report in result["reports"]:
            self._take_in(report, {"worker": worker, **work})
            work = dict.fromkeys(work, 0)  # done once, however many report it

    def _take_in(self, report: dict[str, Any], work: dict[str, Any]) -> None:
        number, seconds = report["number"], report["seconds"]
        live = self._live[number]
        live.seconds += seconds
        if "error" in report:
            error, trace = report["error"], report.pop("traceback")
            self._write(self._store.fail_trial, number, error, trace, seconds, work)
            self._ended(number, "failed", error)
            return
        content, log_probs = report.pop("prompt"), report.pop("log_probs")
        if report["rung"] not in live.rungs:
            prompt = Prompt.from_bytes(content)
            rung = {name: report[name] for name in ("rung", "step", "score", "loss", "train_loss")}
            self._write(
                self._store.record_rung,
                number,
                rung | {"seconds": seconds},
                {
                    "digest": prompt.digest,
                    "text": prompt.text,
                    "content": content,
                    "log_probs": log_probs,
                },
                work,
            )
            live.rungs.add(report["rung"])
        live.best = max(report["score"], live.best)
        self._progress.trial_reported(number, report["score"])
        if report["ended"] or report["stopped"]:
            state = "complete" if report["ended"] else "pruned"
            self._write(self._store.finish_trial, number, state)
            self._ended(number, state, f"{live.best:.4f}")

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Tune keeps what every trial was given and last reported, and writes it all down in its
        scratch folder at the end; the store has it too."""
        # Equal for all trials, and each has its own copy.
        self._needs = self._needs or trial.placement_group_factory
        trial.placement_group_factory = self._needs
        trial.get_json_state = _no_state
        trial.evaluated_params.clear()
        trial.experiment_tag = ""
        kept = trial.run_metadata
        kept.last_result = {"done": True}  # of one that has none, Tune asks the worker
        kept.metric_analysis.clear()
        kept.metric_n_steps.clear()

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker died, and Tune is about to try again what was under way on it."""
        for drawn in trial.config["trials"]:
            number = drawn["number"]
            live = self._live.pop(number, None)
            if live is not None:
                live.note = f"its worker died: {_cause(trial).splitlines()[0]}"
                self._again[number] = live
                self._progress.say(f"trial {number:>3}  begins again; {live.note}")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker died once too often, or was killed because it hung."""
        cause = _cause(trial)
        times = f" ({trial.num_failures} times)" if trial.num_failures > 1 else ""
        for drawn in trial.config["trials"]:
            number = drawn["number"]
            error = self._hung.get(number) or f"its worker died{times}: {cause.splitlines()[0]}"
            if number not in self._live:  # it died before it began
                self._begin(drawn)
            self._write(self._store.fail_trial, number, error, cause)
            self._ended(number, "failed", error)

    def _write(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """One of the store's methods, which rides out an outage. Once one was too long, or another
        controller has taken over, nothing is written any more: Tune goes on for a moment and calls
        trials failed that are not."""
        if self.error is None:
            try:
                return method(self._search_id, *args, **kwargs)
            except AutopromptError as error:
                self.error = error
        raise self.error

    def _ended(self, number: int, state: str, detail: str) -> None:
        live = self._live.pop(number)
        self._progress.trial_ended(number, live.kind, state, detail, live.seconds)


def _known(trial: TrialRecord) -> _Live:
    rungs = {rung.rung for rung in trial.rungs}
    why = trial.note if trial.state == "stopped" and trial.note else "its controller died"
    return _Live(trial.kind, rungs, trial.score or 0.0, trial.seconds, f"resumed: {why}")


def _no_state() -> tuple[str, str]:
    """What Tune writes of a trial: its state, and the state of its run."""
    return "{}", "{}"


def _cause(trial: Trial) -> str:
    return str(trial.get_pickled_error() or "").strip() or "the process is gone"
