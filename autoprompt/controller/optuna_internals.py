"""What is used of Optuna that Optuna does not document, and nothing but that.

`tests/autoprompt/test_internals.py` holds each of these against the installed Optuna.
"""

import random
from typing import Any

import optuna
from optuna.trial import FrozenTrial

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


class SeededTPE(optuna.samplers.TPESampler):
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
