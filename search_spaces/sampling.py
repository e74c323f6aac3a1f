"""A space and an Optuna trial make a plan: define-by-run, so a soft trial is never asked about
hard prompts' parameters and the sampler learns each kind by itself."""

import random
from typing import Any, Protocol

from search_spaces.plan import HardPlan, SoftPlan
from search_spaces.schema import HardSpace, Range, SoftSpace, Space


class Trial(Protocol):
    """The part of `optuna.Trial` that sampling needs."""

    number: int

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...


def _suggest(trial: Trial, name: str, dimension: Any) -> Any:
    """One value of a dimension; a fixed one never reaches Optuna."""
    if isinstance(dimension, Range):
        suggest = trial.suggest_int if isinstance(dimension.low, int) else trial.suggest_float
        return suggest(name, dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, tuple):
        return trial.suggest_categorical(name, dimension)
    return dimension


def _sample_soft(space: SoftSpace, trial: Trial, seed: int) -> SoftPlan:
    init = _suggest(trial, "soft.init", space.init)
    return SoftPlan(
        seed=seed,
        length=_suggest(trial, "soft.length", space.length),
        init=init,
        init_text=_suggest(trial, "soft.init_text", space.init_text) if init == "text" else None,
        learning_rate=_suggest(trial, "soft.learning_rate", space.learning_rate),
        steps=_suggest(trial, "soft.steps", space.steps),
        batch_size=_suggest(trial, "soft.batch_size", space.batch_size),
        position=_suggest(trial, "soft.position", space.position),
    )


def _sample_hard(space: HardSpace, trial: Trial, seed: int) -> HardPlan:
    return HardPlan(
        seed=seed,
        tokens=_suggest(trial, "hard.tokens", space.tokens),
        start=_suggest(trial, "hard.start", space.start),
        candidates=_suggest(trial, "hard.candidates", space.candidates),
        rounds=_suggest(trial, "hard.rounds", space.rounds),
        batch_size=_suggest(trial, "hard.batch_size", space.batch_size),
        position=_suggest(trial, "hard.position", space.position),
    )


def sample(space: Space, trial: Trial, seed: int) -> SoftPlan | HardPlan:
    """Draw one plan from `space`.

    Args:
        trial: an `optuna.Trial`, or anything that suggests as one does.
        seed: the search's seed; each trial's own seed follows from it and the trial's number.
    """
    trial_seed = random.Random(f"{seed}/{trial.number}").getrandbits(31)
    kind = space.kinds[0]
    if len(space.kinds) > 1:
        kind = trial.suggest_categorical("kind", space.kinds)
    if kind == "soft":
        assert space.soft is not None
        return _sample_soft(space.soft, trial, trial_seed)
    assert space.hard is not None
    return _sample_hard(space.hard, trial, trial_seed)
