"""A space and an Optuna trial make a plan: define-by-run, so a soft trial is never asked about
hard prompts' parameters and the sampler learns each kind by itself."""

import random
from typing import Any, Protocol

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.plan import AnyPlan, plan_from_dict
from autoprompt.search_spaces.schema import Range, Space, TrainedSpace


class Trial(Protocol):
    """The part of `optuna.Trial` that sampling needs."""

    number: int

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...


#: What an init starts from is a dimension of that init alone.
_INIT_OF = {"init_text": "text", "init_prompt": "prompt"}


def _suggest(trial: Trial, name: str, dimension: Any) -> Any:
    """One value of a dimension; a fixed one never reaches Optuna."""
    if isinstance(dimension, Range):
        suggest = trial.suggest_int if isinstance(dimension.low, int) else trial.suggest_float
        return suggest(name, dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, tuple):
        return trial.suggest_categorical(name, dimension)
    return dimension


def _suggest_all(trial: Trial, kind: str, part: Document) -> dict[str, Any]:
    """A value for every dimension of one kind, named `kind.dimension`.

    In the order in which the space declares them, so a dimension can depend on an earlier one.
    """
    values: dict[str, Any] = {}
    for name in type(part).model_fields:
        if name in _INIT_OF and values["init"] != _INIT_OF[name]:
            continue
        values[name] = _suggest(trial, f"{kind}.{name}", getattr(part, name))
    return values


def params_within(space: Space, plan: dict[str, Any]) -> dict[str, Any]:
    """Those of a plan's values that `space` may draw too, named as Optuna knows them.

    Empty where the space does not hold the plan's kind.
    """
    kind = plan["kind"]
    part: Document | None = getattr(space, kind, None)
    if part is None:
        return {}
    params = {"kind": kind} if len(space.kinds) > 1 else {}
    for name in type(part).model_fields:
        value = plan.get(name)
        if name in _INIT_OF and value is not None:
            init = params.get(f"{kind}.init", part.init if isinstance(part, TrainedSpace) else None)
            value = value if init == _INIT_OF[name] else None
        if value is not None and _may_draw(getattr(part, name), value):
            params[f"{kind}.{name}"] = value
    return params


def _may_draw(dimension: Any, value: Any) -> bool:
    """Whether a dimension that is not fixed holds a value."""
    if isinstance(dimension, Range):
        return bool(dimension.low <= value <= dimension.high)
    return isinstance(dimension, tuple) and value in dimension


def sample(space: Space, trial: Trial, seed: int, together: int = 1) -> AnyPlan:
    """Draw one plan from `space`.

    Args:
        trial: an `optuna.Trial`, or anything that suggests as one does.
        seed: the search's seed; each trial's own seeds follow from it and the trial's number.
        together: so many trials in a row read the train texts in the same order.
    """
    seeds = {
        "seed": _drawn(f"{seed}/{trial.number}"),
        "data_seed": _drawn(f"{seed}/data/{trial.number // together}"),
    }
    kind = space.kinds[0]
    if len(space.kinds) > 1:
        kind = trial.suggest_categorical("kind", space.kinds)
    values = _suggest_all(trial, kind, getattr(space, kind))
    return plan_from_dict({"kind": kind, **seeds, **values})


def _drawn(name: str) -> int:
    return random.Random(name).getrandbits(31)
