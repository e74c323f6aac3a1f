"""Optuna, asked and told.

Ray's own `OptunaSearch` fixes the space up front, cannot leave a failed trial behind (it stays
running, and the sampler steers away from it for ever), and does not tell a stopped trial from a
finished one. Here each trial is told as what it was: complete, pruned or failed.
"""

import math
import time
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from autoprompt.controller.dispatch import PlanSource
from autoprompt.controller.optuna_internals import SeededTPE
from autoprompt.export.optuna_study import frozen_trial
from autoprompt.search_spaces import Space, sample
from autoprompt.store import TrialRecord
from autoprompt.workers.report import Report


class OptunaSearcher(PlanSource):
    """Draws plans from a space; learns from what their trials report.

    Args:
        budget: how many trials to ask for; without one, as many as anybody wants.
        together: so many trials in a row read the train texts in the same order.
        first: parameters to try before any others, whole or in part, each within the space.
        past: the trials of a search that is resumed. The study is rebuilt from those that ended;
            the others are asked for again first, under their numbers and with their parameters.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        budget: int | None = None,
        together: int = 1,
        first: Sequence[dict[str, Any]] = (),
        past: Sequence[TrialRecord] = (),
    ) -> None:
        self._space = space
        self._seed = seed
        self._left = math.inf if budget is None else budget
        self._together = together
        with warnings.catch_warnings():
            # `group` is how TPE learns conditional parameters; Optuna calls it experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = SeededTPE(seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        #: Those that have not ended, by number.
        self._asked: dict[int, optuna.Trial] = {}
        #: Number -> rung -> how many texts judged it, and their best score up to it.
        self._scores: dict[int, dict[int, tuple[int | None, float]]] = {}
        # One trial of each kind early on, so that none is judged without being tried.
        tried = {params.get("kind") for params in first}
        untried = [kind for kind in space.kinds if len(space.kinds) > 1 and kind not in tried]
        params = dict(enumerate([*first, *({"kind": kind} for kind in untried)]))
        known = {trial.number: trial for trial in past}
        for number in range(max([*params, *known], default=-1) + 1):
            trial = known.get(number)
            if trial is not None and trial.ended:
                self._study.add_trial(frozen_trial(trial))
            else:
                self._study.enqueue_trial(trial.params if trial else params.get(number, {}))

    @property
    def ended(self) -> list[FrozenTrial]:
        """The trials that are complete or were stopped, in the order of their numbers."""
        return self._study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
        )

    def draw(self, count: int) -> list[dict[str, Any]]:
        """The next plans, each with what it was drawn from."""
        count = int(min(count, self._left))
        self._left -= count
        return [self._draw() for _ in range(count)]

    def _draw(self) -> dict[str, Any]:
        trial = self._study.ask()
        plan = sample(self._space, trial, self._seed, self._together)
        self._asked[trial.number] = trial
        return {
            "number": trial.number,
            "drawn_at": time.time(),
            "plan": plan.model_dump(),
            "params": trial.params,
            # As JSON: a string is shared by the copies that Tune makes, and keeps.
            "distributions": {
                name: distribution_to_json(distribution)
                for name, distribution in trial.distributions.items()
            },
        }

    def reported(self, report: Report) -> None:
        """A rung was reported: tell Optuna, and how the trial ended if it has."""
        number = report.number
        scores = self._scores.setdefault(number, {})
        if report.rung not in scores:
            # What other texts judged says nothing beside these.
            before = [score for judged, score in scores.values() if judged == report.judged]
            best = max([report.score, *before])
            scores[report.rung] = report.judged, best
            self._asked[number].report(best, report.rung)
        if report.ended:
            self._tell(number, TrialState.COMPLETE)
        elif report.stopped:
            self._tell(number, TrialState.PRUNED)

    def failed(self, number: int) -> None:
        self._tell(number, TrialState.FAIL)

    def _tell(self, number: int, state: TrialState) -> None:
        trial, scores = self._asked.pop(number), self._scores.pop(number, {})
        value = scores[max(scores)][1] if state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=state)
