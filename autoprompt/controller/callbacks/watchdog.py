"""Watches the trials that run: gives up those that hang, and stops all of them on Ctrl-C."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from autoprompt.progress import SearchProgress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends a search as Ctrl-C does, rather than leaving it marked running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Supervisor(Callback, Stopper):
    """Tune's events in, dead workers out.

    Args:
        patience: seconds a trial may report nothing before it is taken for hung.

    Attributes:
        stopping: Ctrl-C was pressed, or SIGTERM received, while the trials ran.
        hung: number of each trial that was given up -> why.
    """

    def __init__(self, patience: float, progress: SearchProgress) -> None:
        self._patience = patience
        self._progress = progress
        self._heard: dict[Trial, float] = {}
        self.stopping = False
        self.hung: dict[int, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the trials in order, the second ends everything."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._interrupted) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupted(self, number: int, frame: Any) -> None:
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        self._progress.say("stopping the trials that run; Ctrl-C again stops at once ...")

    # As Tune's callback

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._heard[trial] = time.monotonic()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        self._heard[trial] = time.monotonic()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._heard.pop(trial, None)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._heard.pop(trial, None)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._heard.pop(trial, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        now = time.monotonic()
        for trial in [each for each, at in self._heard.items() if now - at > self._patience]:
            why = (
                f"reported nothing for {self._patience:g} s and was taken for hung "
                "(search.hung_after_seconds)"
            )
            self.hung |= {each["number"]: why for each in trial.config["trials"]}
            trial.max_failures = 0  # it would hang again
            self._kill(trial)

    # As Tune's stopper

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Tune asks after every event; its workers would otherwise finish the rung they are at."""
        if self.stopping:
            for trial in list(self._heard):
                self._kill(trial)
        return self.stopping

    def _kill(self, trial: Trial) -> None:
        self._heard.pop(trial, None)
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            ray.kill(actor)
