"""ASHA (Li et al. 2020), with a ladder for each kind of prompt.

A hard prompt starts near the template's own score and gains slowly; a soft one starts at chance and
gains fast. On one ladder the first would stop the second before it had begun.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from autoprompt.store import TrialRecord

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


@dataclass(frozen=True)
class _Climber:
    """As much of a Tune trial as a ladder looks at."""

    trial_id: str


class AshaByKind(FIFOScheduler):
    """At each rung, a trial among the lower ones of its kind so far is stopped.

    What Tune calls a trial may carry out several of ours (`config["trials"]`), each of which is
    judged by itself. A report of one that goes no further is marked `stopped`, and one that has
    ended in any way leaves the config, so that a worker that dies begins only the others again.

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
        #: Who climbs, by a trial's number.
        self._climbing: dict[int, tuple[ASHAScheduler, _Climber]] = {}
        for trial in past:
            if trial.ended:
                self._enter(trial.number, trial.kind)
                for rung in trial.rungs:
                    self._stops(trial.number, {"rung": rung.rung, "score": rung.score})
                self._leave(trial.number)

    def _enter(self, number: int, kind: str) -> None:
        if number not in self._climbing:
            self._climbing[number] = self._ladders[kind], _Climber(str(number))
            ladder, climber = self._climbing[number]
            ladder.on_trial_add(None, climber)

    def _leave(self, number: int) -> None:
        ladder, climber = self._climbing.pop(number)
        ladder.on_trial_remove(None, climber)

    def _stops(self, number: int, report: Mapping[str, Any]) -> bool:
        ladder, climber = self._climbing[number]
        timed = {**report, "asha_time": self._factor ** (report["rung"] - 1)}
        return ladder.on_trial_result(None, climber, timed) == TrialScheduler.STOP

    def on_trial_add(self, tune_controller: "TuneController", trial: Trial) -> None:
        for each in trial.config["trials"]:
            self._enter(each["number"], each["plan"]["kind"])

    def on_trial_result(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> str:
        over = set()
        for report in result["reports"]:
            number = report["number"]
            if "error" not in report:
                stops = self._stops(number, report)
                report["stopped"] = stops and not report["ended"]
                if not (stops or report["ended"]):
                    continue
            self._leave(number)
            over.add(number)
        # In place: Tune holds the same list in several places, for as long as the search runs.
        left = trial.config["trials"]
        left[:] = [each for each in left if each["number"] not in over]
        if not left:
            return str(TrialScheduler.STOP)
        if over:
            # Before the worker's next step: Ray carries out an actor's calls in their order.
            trial.temporary_state.ray_actor.drop.remote(list(over))
        return str(TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: "TuneController", trial: Trial) -> None:
        self.on_trial_remove(tune_controller, trial)

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> None:
        """Nothing: those that ended have left."""

    def on_trial_remove(self, tune_controller: "TuneController", trial: Trial) -> None:
        for each in trial.config["trials"]:
            if each["number"] in self._climbing:
                self._leave(each["number"])
