"""Writes what Ray Tune's trials report into the store, and says it on stderr."""

from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from search_spaces.errors import DatabaseLostError
from workers.prompt import Prompt


class Recorder(Callback):
    """Tune's events, one transaction each.

    Runs in the controller's process, which is the only writer of the store. The prompt and its
    predictions are taken out of the result once stored, so that Tune neither keeps nor copies them.
    """

    def __init__(self, store: Store, search_id: int, progress: SearchProgress) -> None:
        self._store = store
        self._search_id = search_id
        self._progress = progress
        self._seconds: dict[int, float] = {}
        self._best: dict[int, float] = {}
        self._started: set[int] = set()
        #: Why nothing more is written; the search ends with it. Ray Tune would hide it.
        self.lost: DatabaseLostError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Ray calls this again when it restarts a trial whose worker died."""
        config = trial.config
        if config["number"] in self._started:
            return
        self._started.add(config["number"])
        self._write(
            self._store.start_trial,
            config["number"],
            kind=config["plan"]["kind"],
            plan=config["plan"],
            params=config["params"],
            distributions=config["distributions"],
        )

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        number, seconds = trial.config["number"], result["rung_seconds"]
        self._seconds[number] = self._seconds.get(number, 0.0) + seconds
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
        prompt = Prompt.from_bytes(content := result.pop("prompt"))
        rung = {name: result[name] for name in ("rung", "step", "score", "loss", "train_loss")}
        self._write(
            self._store.record_rung,
            number,
            rung | {"seconds": seconds},
            {
                "digest": prompt.digest,
                "text": prompt.text,
                "content": content,
                "log_probs": result.pop("log_probs"),
            },
            work,
        )
        self._best[number] = max(result["score"], self._best.get(number, 0.0))
        self._progress.trial_reported(number, result["score"])

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        number, last = trial.config["number"], trial.last_result
        if "error" in last or "rung" not in last:
            return
        state = "complete" if last["ended"] else "pruned"
        self._write(self._store.finish_trial, number, state)
        self._ended(trial, state, f"{self._best[number]:.4f}")

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker itself died: out of memory, or killed."""
        cause = trial.get_pickled_error() or "the worker process died"
        error = str(cause).strip().splitlines()[0]
        self._write(self._store.fail_trial, trial.config["number"], error, str(cause))
        self._ended(trial, "failed", error)

    def _write(self, method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """One of the store's methods, which rides out an outage. Once one was too long, nothing is
        written any more: Tune goes on for a moment and calls trials failed that are not."""
        if self.lost is None:
            try:
                return method(self._search_id, *args, **kwargs)
            except DatabaseLostError as error:
                self.lost = error
        raise self.lost

    def _ended(self, trial: Trial, state: str, detail: str) -> None:
        number = trial.config["number"]
        kind = trial.config["plan"]["kind"]
        self._progress.trial_ended(number, kind, state, detail, self._seconds.get(number, 0.0))
