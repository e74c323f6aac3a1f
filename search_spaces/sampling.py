"""A space and an Optuna trial make a plan: define-by-run, so a soft trial is never asked about
hard prompts' parameters and the sampler learns each kind by itself."""

import random
from typing import Any, Protocol

from autoprompt.search_spaces.dimensions import Range
from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.kind_spaces import TrainedSpace
from autoprompt.search_spaces.plan import AnyPlan, plan_from_dict
from autoprompt.search_spaces.schema import Space
from autoprompt.search_spaces.wording_space import Proposals, kinds_of, written


class Trial(Protocol):
    """The part of `optuna.Trial` that sampling needs."""

    number: int

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...


#: What an init starts from is a dimension of that init alone.
_INIT_OF = {"init_text": "text", "init_prompt": "prompt"}

#: What a prompt that is not searched for asks of a hard prompt's part of the space.
_UNSEARCHED = ("tuner", "searcher", "calibration")

#: What is no dimension: every trial has it.
_NO_DIMENSIONS = ("phrases",)


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
        if values.get("searcher") == "none" and name not in _UNSEARCHED:
            continue
        if name in _NO_DIMENSIONS:
            values[name] = getattr(part, name)
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
    params |= _wording_within(space, kind, plan)
    for name in type(part).model_fields:
        if plan.get("searcher") == "none" and name not in _UNSEARCHED:
            continue
        value = plan.get(name)
        if name in _INIT_OF and value is not None:
            init = params.get(f"{kind}.init", part.init if isinstance(part, TrainedSpace) else None)
            value = value if init == _INIT_OF[name] else None
        if value is not None and _may_draw(getattr(part, name), value):
            params[f"{kind}.{name}"] = value
    return params


def _wording_within(space: Space, kind: str, plan: dict[str, Any]) -> dict[str, Any]:
    """As `params_within`, of the template, the label words and the demonstrations."""
    params: dict[str, Any] = {}
    templates = space.templates_for(kind)
    if plan.get("template") in templates and templates[1:]:
        params[_template_name(space, kind)] = plan["template"]
    words = space.label_words
    own = {label: tuple(each) for label, each in (plan.get("label_words") or {}).items()}
    if isinstance(words, Proposals):
        found = words.found.get(plan.get("template") or "", ())
        if own in found:
            params["label_words"] = found.index(own)
    elif words and own in words and words[1:]:
        params["label_words"] = written(own)
    shown = space.demonstrations
    if shown is not None:
        count = plan.get("demonstrations", 0)
        if _may_draw(shown.count, count):
            params["demonstrations.count"] = count
        choose = plan.get("choose", "random")
        if count and _may_draw(shown.choose, choose):
            params["demonstrations.choose"] = choose
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
    wording = _wording(space, kind, trial)
    values = _suggest_all(trial, kind, getattr(space, kind))
    return plan_from_dict({"kind": kind, **seeds, **wording, **values})


def _wording(space: Space, kind: str, trial: Trial) -> dict[str, Any]:
    """The template, the label words and the demonstrations of a trial, where the space has any."""
    wording: dict[str, Any] = {}
    template = None
    if templates := space.templates_for(kind):
        name = _template_name(space, kind)
        template = trial.suggest_categorical(name, templates) if templates[1:] else templates[0]
        wording["template"] = template
    words = space.label_words
    if isinstance(words, Proposals):
        found = words.found.get(template or "", ())
        if found:
            rank = trial.suggest_int("label_words", 0, words.propose)
            wording["label_words"] = found[min(rank, len(found) - 1)]
    elif words:
        sets = {written(each): each for each in words}
        names = tuple(sets)
        name = trial.suggest_categorical("label_words", names) if names[1:] else names[0]
        wording["label_words"] = sets[name]
    if space.demonstrations is not None:
        count = _suggest(trial, "demonstrations.count", space.demonstrations.count)
        wording["demonstrations"] = count
        if count:
            choose = _suggest(trial, "demonstrations.choose", space.demonstrations.choose)
            wording["choose"] = choose
    return wording


def _template_name(space: Space, kind: str) -> str:
    """What the choice of a template is called: the same for all kinds, where all may have all."""
    return f"{kind}.template" if any(map(kinds_of, space.templates)) else "template"


def _drawn(name: str) -> int:
    return random.Random(name).getrandbits(31)
