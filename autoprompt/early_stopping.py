"""ASHA (Li et al. 2020), with a ladder for each kind of prompt.

A hard prompt starts near the template's own score and gains slowly; a soft one starts at chance and
gains fast. On one ladder the first would stop the second before it had begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from autoprompt.store import TrialRecord

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


@dataclass(frozen=True)
class _Past:
    """As much of a Tune trial as a ladder looks at."""

    trial_id: str
    config: dict[str, Any]


class AshaByKind(FIFOScheduler):
    """At each rung, a trial among the lower ones of its kind so far is stopped.

    Args:
        rungs: how many rungs a whole trial has; with 1, none is stopped.
        reduction_factor: one in so many goes on.
        past: trials of a search that is resumed. Those that ended stand on the ladders again, the
            others will climb them anew.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        rungs: int,
        reduction_factor: int,
        past: Sequence[TrialRecord] = (),
    ) -> None:
        super().__init__()
        self._metric = "score"
        # Rungs 1, 2, 3, ... are reported as times 1, f, f^2, ..., where ASHA expects them.
        self._factor = reduction_factor
        self._ladders = {
            kind: ASHAScheduler(
                time_attr="asha_time",
                metric="score",
                mode="max",
                max_t=reduction_factor ** max(rungs - 1, 1),
                grace_period=1,
                reduction_factor=reduction_factor,
                stop_last_trials=False,
            )
            for kind in kinds
        }
        for trial in past:
            if trial.ended:
                self._replay(trial)

    def _replay(self, record: TrialRecord) -> None:
        trial = _Past(f"past-{record.number}", {"plan": record.plan})
        self._ladder(trial).on_trial_add(None, trial)
        for rung in record.rungs:
            result = self._timed({"rung": rung.rung, "score": rung.score})
            self._ladder(trial).on_trial_result(None, trial, result)
        self._ladder(trial).on_trial_remove(None, trial)

    def _ladder(self, trial: Trial | _Past) -> ASHAScheduler:
        return self._ladders[trial.config["plan"]["kind"]]

    def _timed(self, result: dict[str, Any]) -> dict[str, Any]:
        rung = result.get("rung")
        return result if rung is None else result | {"asha_time": self._factor ** (rung - 1)}

    def on_trial_add(self, tune_controller: "TuneController", trial: Trial) -> None:
        self._ladder(trial).on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: "TuneController", trial: Trial) -> None:
        self._ladder(trial).on_trial_error(tune_controller, trial)

    def on_trial_result(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> str:
        if "error" in result or result["ended"]:
            return str(TrialScheduler.CONTINUE)
        timed = self._timed(result)
        return str(self._ladder(trial).on_trial_result(tune_controller, trial, timed))

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> None:
        self._ladder(trial).on_trial_complete(tune_controller, trial, self._timed(result))

    def on_trial_remove(self, tune_controller: "TuneController", trial: Trial) -> None:
        self._ladder(trial).on_trial_remove(tune_controller, trial)
