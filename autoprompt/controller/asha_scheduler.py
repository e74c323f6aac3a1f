"""ASHA (Li et al. 2020), with a ladder for each kind of prompt.

A hard prompt starts near the template's own score and gains slowly; a soft one starts at chance and
gains fast. On one ladder the first would stop the second before it had begun.
"""

from dataclasses import dataclass

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from autoprompt.controller.stopping_rule import Ladder, StoppingRule


@dataclass(frozen=True)
class _Climber:
    """As much of a Tune trial as Tune's ASHA looks at."""

    trial_id: str


class AshaByKind(StoppingRule):
    """At each rung, a trial among the lower ones of its kind so far is stopped."""

    ranks = True

    def __init__(self, ladder: Ladder) -> None:
        # Rungs 1, 2, 3, ... are reported as times 1, f, f^2, ..., where ASHA expects them.
        self._factor = ladder.reduction_factor
        self._ladders = {
            kind: ASHAScheduler(
                time_attr="asha_time",
                metric="score",
                mode="max",
                max_t=self._factor ** max(ladder.rungs - 1, 1),
                grace_period=1,
                reduction_factor=self._factor,
                stop_last_trials=False,
            )
            for kind in ladder.kinds
        }
        #: Who climbs, by a trial's number.
        self._climbing: dict[int, tuple[ASHAScheduler, _Climber]] = {}

    def enter(self, number: int, kind: str) -> None:
        if number not in self._climbing:
            asha, climber = self._ladders[kind], _Climber(str(number))
            self._climbing[number] = asha, climber
            asha.on_trial_add(None, climber)

    def stops(self, number: int, rung: int, score: float) -> bool:
        asha, climber = self._climbing[number]
        result = {"score": score, "asha_time": self._factor ** (rung - 1)}
        return asha.on_trial_result(None, climber, result) == TrialScheduler.STOP

    def leave(self, number: int) -> None:
        if number in self._climbing:
            asha, climber = self._climbing.pop(number)
            asha.on_trial_remove(None, climber)
