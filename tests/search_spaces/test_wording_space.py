"""The question in the space: what trials draw of it, and what is refused."""

from pathlib import Path
from typing import Any, get_args

import optuna
import pytest

from autoprompt.search_spaces import Space, load_space, params_within, sample
from autoprompt.search_spaces.kind_spaces import Searcher
from autoprompt.search_spaces.wording_space import Proposals

SOFT = {"length": 2, "learning_rate": 0.01, "steps": 4}
HARD = {"start": "in short", "rounds": 2, "tokens": 3}
BAD, GOOD = ("bad", "dull"), ("good", "warm")
SETS = [{"neg": "bad", "pos": "good"}, {"neg": ["dull", "flat"], "pos": "warm"}]


def space(**content: Any) -> Space:
    return Space.model_validate(content)


def drawn(searched: Space, count: int = 40) -> list[tuple[Any, dict[str, Any]]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append((sample(searched, trial, seed=0), trial.params))
    return found


def test_a_trial_chooses_its_question() -> None:
    searched = space(
        template=["{text}\nSentiment:", "{text} It was"],
        label_words=SETS,
        demonstrations={"count": [0, 2], "choose": ["random", "central"]},
        hard={"searcher": "none", "calibration": ["none", "batch"]},
        soft=SOFT,
    )
    plans = drawn(searched)
    assert {plan.template for plan, _ in plans} == {"{text}\nSentiment:", "{text} It was"}
    assert {plan.label_words["neg"] for plan, _ in plans} == {("bad",), ("dull", "flat")}
    assert {plan.demonstrations for plan, _ in plans} == {0, 2}
    for plan, params in plans:
        assert plan.rewords
        assert ("demonstrations.choose" in params) == (plan.demonstrations == 2)
        if plan.kind == "hard":
            assert plan.searcher == "none"
            assert set(params) <= {
                "kind", "template", "label_words", "demonstrations.count",
                "demonstrations.choose", "hard.calibration",
            }  # fmt: skip


def test_what_was_drawn_is_found_in_the_space_again() -> None:
    searched = space(
        template=["{text}:", "{text}{soft}\nIt was", "{text} A {hard}:"],
        label_words=SETS,
        demonstrations={"count": [0, 2], "choose": ["random", "central"]},
        hard=HARD | {"searcher": ["none", "swaps"]},
        soft=SOFT,
    )
    for plan, params in drawn(searched):
        assert params_within(searched, plan.model_dump()) == params


def test_a_kind_stands_in_templates_that_have_its_pieces_or_none() -> None:
    searched = space(
        template=["{text}:", "{text}{soft} It was", "{text} A {hard}:"], hard=HARD, soft=SOFT
    )
    for plan, params in drawn(searched):
        assert plan.template in searched.templates_for(plan.kind)
        assert f"{plan.kind}.template" in params
    assert searched.templates_for("soft") == ("{text}:", "{text}{soft} It was")
    assert searched.positions == {"suffix"}


def test_proposals_are_drawn_by_their_rank() -> None:
    found = {
        "{text}:": ({"neg": BAD, "pos": GOOD}, {"neg": ("flat",), "pos": ("fine",)}),
        "{text} It was": ({"neg": ("poor",), "pos": ("great",)},),
    }
    searched = space(
        template=["{text}:", "{text} It was"],
        label_words=Proposals(propose=2, found=found),
        hard={"searcher": "none"},
    )
    plans = drawn(searched)
    for plan, params in plans:
        own = found[plan.template]
        assert plan.label_words == own[min(params["label_words"], len(own) - 1)]
    assert {params["label_words"] for _, params in plans} == {0, 1, 2}


def test_plans_without_a_question_of_their_own_read_as_before() -> None:
    [(plan, _)] = drawn(space(soft=SOFT), 1)
    assert not plan.rewords
    assert not {"template", "label_words", "demonstrations", "choose"} & set(plan.model_dump())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"label_words": []}, "an empty list leaves nothing"),
        ({"label_words": [SETS[0], SETS[0]]}, "the same label words twice"),
        ({"template": []}, "an empty list leaves nothing"),
        ({"template": "{text}{soft}:"}, "no template has a place for hard"),
        ({"template": ["{text}:", "{text}{soft}:"]}, "a piece that no trial fills: add soft"),
        ({"template": ["{text}:", "{text}{kv}{hard}:"]}, "stands in no template with other"),
        ({"demonstrations": {"count": -1}}, "must be at least 0"),
        ({"hard": {"rounds": 2}}, "start is required"),
        ({"hard": HARD | {"start": ["in short", " "]}}, "start is required"),
        ({"hard": HARD | {"phrases": []}}, "phrases is empty"),
        ({"hard": HARD | {"searcher": "magic"}}, "magic"),
    ],
)
def test_what_is_wrong_is_said(content: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        space(**({"hard": HARD} | content))


def test_the_full_preset_draws_every_kind_and_searcher() -> None:
    plans = [plan for plan, _ in drawn(load_space("full", Path(), "full"), 150)]
    assert {plan.kind for plan in plans} == {"soft", "hard", "mixed", "kv"}
    assert {plan.searcher for plan in plans if plan.kind == "hard"} == set(get_args(Searcher))
