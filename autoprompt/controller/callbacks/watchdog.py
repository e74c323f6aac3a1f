"""Watches the tasks that run on a cluster: gives up those that hang, and stops all on Ctrl-C."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from autoprompt.controller.interruption import Interruption
from autoprompt.controller.ray_internals import actor_of


class Watchdog(Callback, Stopper):
    """Tune's events in, dead workers out.

    Args:
        patience: seconds a trial may report nothing before it is taken for hung.
        over: whether the run is to end for a reason of its own.

    Attributes:
        hung: why a trial was given up, by Tune's id of it.
    """

    def __init__(
        self, patience: float, interruption: Interruption, over: Callable[[], bool]
    ) -> None:
        self._patience = patience
        self._interruption = interruption
        self._over = over
        self._heard: dict[Trial, float] = {}
        self.hung: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

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
        for trial in [one for one, at in self._heard.items() if now - at > self._patience]:
            self.hung[trial.trial_id] = (
                f"reported nothing for {self._patience:g} s and was taken for hung "
                "(search.hung_after_seconds)"
            )
            trial.max_failures = 0  # it would hang again
            self._kill(trial)

    # As Tune's stopper

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Tune asks after every event; its workers would otherwise finish the rung they are at."""
        stopping = self._interruption.requested or self._over()
        if stopping:
            for trial in list(self._heard):
                self._kill(trial)
        return stopping

    def _kill(self, trial: Trial) -> None:
        self._heard.pop(trial, None)
        actor = actor_of(trial)
        if actor is not None:
            ray.kill(actor)
