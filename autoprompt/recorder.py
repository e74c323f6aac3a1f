"""Writes what Ray Tune's trials report into the store, and says it on stderr."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from autoprompt.progress import SearchProgress
from autoprompt.store import Store, TrialRecord
from search_spaces.errors import AutopromptError
from workers.prompt import Prompt


@dataclass
class _Live:
    """What is stored of a trial that has not ended.

    Attributes:
        note: why it begins again.
    """

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
        self.error: AutopromptError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        config = trial.config
        number = config["number"]
        live = self._again.pop(number, None)
        if live is not None:
            self._write(self._store.restart_trial, number, live.note)
        else:
            self._write(
                self._store.start_trial,
                number,
                kind=config["plan"]["kind"],
                plan=config["plan"],
                params=config["params"],
                distributions=config["distributions"],
            )
        self._live[number] = live or _Live()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        number, seconds = trial.config["number"], result["rung_seconds"]
        live = self._live[number]
        live.seconds += seconds
        work = {
            "worker": f"{result['hostname']}:{result['pid']}",
            "models_loaded": result["models_loaded"],
            "texts_encoded": result["texts_encoded"],
        }
        if "error" in result:
            error, trace = result["error"], result.pop("traceback")
            self._write(self._store.fail_trial, number, error, trace, seconds, work)
            self._ended(trial, "failed", error)
            return
        content, log_probs = result.pop("prompt"), result.pop("log_probs")
        if result["rung"] not in live.rungs:
            prompt = Prompt.from_bytes(content)
            rung = {name: result[name] for name in ("rung", "step", "score", "loss", "train_loss")}
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
            live.rungs.add(result["rung"])
        live.best = max(result["score"], live.best)
        self._progress.trial_reported(number, result["score"])

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        number, last = trial.config["number"], trial.last_result
        if number not in self._live:
            return
        state = "complete" if last["ended"] else "pruned"
        self._write(self._store.finish_trial, number, state)
        self._ended(trial, state, f"{self._live[number].best:.4f}")

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker died, and Tune is about to try the trial again."""
        number = trial.config["number"]
        if number not in self._live:
            return
        live = self._live.pop(number)
        live.note = f"its worker died: {_cause(trial).splitlines()[0]}"
        self._again[number] = live
        self._progress.say(f"trial {number:>3}  begins again; {live.note}")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker died once too often, or was killed because it hung."""
        number, cause = trial.config["number"], _cause(trial)
        error = self._hung.get(number)
        if error is None:
            times = f" ({trial.num_failures} times)" if trial.num_failures > 1 else ""
            error = f"its worker died{times}: {cause.splitlines()[0]}"
        if number not in self._live:  # it died before it began
            self.on_trial_start(iteration, trials, trial)
        self._write(self._store.fail_trial, number, error, cause)
        self._ended(trial, "failed", error)

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

    def _ended(self, trial: Trial, state: str, detail: str) -> None:
        number = trial.config["number"]
        kind = trial.config["plan"]["kind"]
        seconds = self._live.pop(number).seconds
        self._progress.trial_ended(number, kind, state, detail, seconds)


def _known(trial: TrialRecord) -> _Live:
    rungs = {rung.rung for rung in trial.rungs}
    why = trial.note if trial.state == "stopped" and trial.note else "its controller died"
    return _Live(rungs, trial.score or 0.0, trial.seconds, f"resumed: {why}")


def _cause(trial: Trial) -> str:
    return str(trial.get_pickled_error() or "").strip() or "the process is gone"
