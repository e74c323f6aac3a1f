"""Optuna, asked and told, as a Ray Tune searcher.

Ray's own `OptunaSearch` fixes the space up front, cannot leave a failed trial behind (it stays
running, and the sampler steers away from it for ever), and does not tell a stopped trial from a
finished one. Here each trial is told as what it was: complete, pruned or failed.
"""

import math
import random
import time
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from autoprompt.export.optuna_study import frozen_trial
from autoprompt.search_spaces import Space, sample
from autoprompt.store import TrialRecord

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaSearcher(Searcher):
    """Draws plans from a space; learns from what their trials report.

    What Tune calls a trial carries out one of ours or several, side by side on one worker.

    Args:
        budget: how many trials to ask for; without one, as many as Tune wants.
        together: how many Tune's trials carry out each.
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
        super().__init__(metric="score", mode="max")
        self._space = space
        self._seed = seed
        self._left = math.inf if budget is None else budget
        self._together = together
        with warnings.catch_warnings():
            # `group` is how TPE learns conditional parameters; Optuna calls it experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = _SeededTPE(seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        #: Ours that have not ended, by number; and their numbers, by Tune's trial.
        self._asked: dict[int, optuna.Trial] = {}
        self._numbers: dict[str, list[int]] = {}
        #: Number -> rung -> the best score up to it.
        self._scores: dict[int, dict[int, float]] = {}
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

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next plans, each with what it was drawn from."""
        count = int(min(self._together, self._left))
        if count == 0:
            return str(Searcher.FINISHED)
        self._left -= count
        drawn = [self._draw() for _ in range(count)]
        self._numbers[trial_id] = [each["number"] for each in drawn]
        return {"trials": drawn}

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

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Rungs were reported: tell Optuna, and of those that ended, how."""
        for report in result["reports"]:
            number = report["number"]
            if number not in self._asked:
                continue
            if "error" in report:
                self._tell(number, TrialState.FAIL)
                continue
            self._note(number, report["rung"], report["score"])
            if report["ended"]:
                self._tell(number, TrialState.COMPLETE)
            elif report["stopped"]:
                self._tell(number, TrialState.PRUNED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tune's trial is over: what has not ended by now has failed."""
        if result and not error:
            self.on_trial_result(trial_id, result)
        for number in self._numbers.pop(trial_id, ()):
            if number in self._asked:
                self._tell(number, TrialState.FAIL)

    def _note(self, number: int, rung: int, score: float) -> None:
        scores = self._scores.setdefault(number, {})
        if rung not in scores:
            scores[rung] = max([score, *scores.values()])
            self._asked[number].report(scores[rung], rung)

    def _tell(self, number: int, state: TrialState) -> None:
        trial, scores = self._asked.pop(number), self._scores.pop(number, {})
        value = scores[max(scores)] if state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=state)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts into its scratch folder, and the trials table is the one
        record of a search."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, likewise."""


#: TPE learns from so many trials, the last ones: a draw takes no longer as a search grows.
_REMEMBERED = 1000


class _Recent:
    """A study of which only the last trials are seen."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, **options: Any) -> list[FrozenTrial]:
        return self._study._get_trials(**options)[-_REMEMBERED:]


class _SeededTPE(optuna.samplers.TPESampler):
    """TPE whose draws for a trial follow from the seed, the trial's number and the trials before
    it, so that a search that is resumed draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, multivariate=True, group=True)
        self._search_seed = seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        draws = random.Random(f"sampler/{self._search_seed}/{trial.number}")
        self._rng.rng.seed(draws.getrandbits(32))
        self._random_sampler._rng.rng.seed(draws.getrandbits(32))

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> Any:
        return super().infer_relative_search_space(_Recent(study), trial)

    def sample_relative(self, study: Any, trial: FrozenTrial, search_space: Any) -> Any:
        return super().sample_relative(_Recent(study), trial, search_space)

    def sample_independent(self, study: Any, trial: FrozenTrial, name: str, among: Any) -> Any:
        return super().sample_independent(_Recent(study), trial, name, among)
