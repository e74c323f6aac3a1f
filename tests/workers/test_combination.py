"""How members answer together: recalibrated, by their mean, stacked; and as plain values."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from autoprompt.ensemble.stacking import cross_fitted, stacked_vote
from autoprompt.workers.agreement import disagreement_error_ratio
from autoprompt.workers.answers.label_words import LabelWords
from autoprompt.workers.combination import Combination, heads
from autoprompt.workers.metric_functions import ece, log_loss
from autoprompt.workers.recalibration import Recalibration, recalibration
from autoprompt.workers.wording import Wording

WORDS = {name: (name,) for name in ("good", "bad", "neither")}
THREE = LabelWords(Wording(template="{text}:", label_words=WORDS, columns=("text",)))


def sayings(
    members: int, texts: int, seed: int = 0, skill: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """What N members say of B texts with three labels, and what is right."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 3, texts)
    scores = rng.normal(size=(members, texts, 3)) + skill * np.eye(3)[right]
    return log_softmax(scores, axis=-1), right


@pytest.mark.parametrize(("sharper", "biases"), [(3.0, [0, 0, 0]), (0.5, [1.0, -1.0, 0.0])])
def test_a_temperature_and_biases_are_found_again(sharper: float, biases: list[float]) -> None:
    rng = np.random.default_rng(1)
    true = log_softmax(2 * rng.normal(size=(20_000, 3)), axis=-1)
    right = np.array([rng.choice(3, p=np.exp(row)) for row in true])
    told = log_softmax((true - np.array(biases)) * sharper, axis=-1)
    found = recalibration(told, right.tolist())
    assert found.temperature == pytest.approx(sharper, rel=0.1)
    assert found.biases == pytest.approx(biases, abs=0.1)
    assert ece(right, np.exp(found(told))) < 0.02 < ece(right, np.exp(told))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), skill=st.floats(0, 30), texts=st.integers(1, 60))
def test_recalibration_never_costs_where_it_was_fitted(seed: int, skill: float, texts: int) -> None:
    said, right = sayings(1, texts, seed, skill)
    again = recalibration(said[0], right.tolist())(said[0])
    assert np.isfinite(again).all()
    assert np.exp(again).sum(-1) == pytest.approx(1)
    assert log_loss(right, np.exp(again)) <= log_loss(right, np.exp(said[0])) + 1e-6


def test_the_mean_takes_each_members_own_temperature() -> None:
    said, right = sayings(3, 400)
    # The third shouts, and is as often right as the others.
    loud = said.copy()
    loud[2] = log_softmax(said[2] * 20, axis=-1)
    own = tuple(recalibration(rows, right.tolist()) for rows in loud)
    rule = Combination("mean", (1.0, 1.0, 1.0), own)
    apart = np.average(loud, axis=0).argmax(-1)
    decided = rule.voted(THREE, loud)
    assert (decided == right).mean() > (apart == right).mean() + 0.01
    assert rule.probabilities(THREE, loud).sum(-1) == pytest.approx(1)


def test_a_stack_listens_to_who_knows() -> None:
    said, right = sayings(1, 600, skill=4.0)
    noise, _ = sayings(4, 600, seed=5, skill=0.0)
    both = np.concatenate([said, noise])
    stack = stacked_vote(both, right.tolist())
    rule = Combination("stacked", (1.0,) * 5, stack=stack)
    alone = (said[0].argmax(-1) == right).mean()
    assert (heads([1.0] * 5).voted(THREE, both) == right).mean() < alone - 0.2
    fresh, truth = sayings(1, 600, seed=9, skill=4.0)
    others, _ = sayings(4, 600, seed=7, skill=0.0)
    unseen = np.concatenate([fresh, others])
    assert (rule.voted(THREE, unseen) == truth).mean() > 0.95 * alone
    # What it says of texts that it was not fitted to flatters less.
    crossed = cross_fitted(both, right)
    fitted = log_loss(right, np.exp(stack(both)))
    assert fitted < log_loss(right, np.exp(crossed)) < fitted + 0.1


def test_a_stack_of_texts_with_one_label_says_that_label() -> None:
    said, _ = sayings(2, 30)
    assert set(stacked_vote(said, [1] * 30)(said).argmax(-1)) == {1}
    assert set(stacked_vote(said, [0, 2] * 15)(said).argmax(-1)) <= {0, 2}


RULES = {
    "majority": lambda said, right: heads([1.0] * len(said)),
    "mean": lambda said, right: Combination(
        "mean", (1.0,) * len(said), tuple(recalibration(own, right.tolist()) for own in said)
    ),
    "stacked": lambda said, right: Combination(
        "stacked", (1.0,) * len(said), stack=stacked_vote(said, right.tolist())
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_twins_in_a_members_place_say_the_same(name: str) -> None:
    """Prompts of folds stand in a plan's place; where they all say the same, nothing changes."""
    said, right = sayings(3, 200)
    rule: Any = RULES[name](said, right)
    many = rule.of_members([2, 2, 2])
    twins = np.repeat(said, 2, axis=0)
    assert (many.voted(THREE, twins) == rule.voted(THREE, said)).all()
    expected = rule.probabilities(THREE, said)
    assert many.probabilities(THREE, twins) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_one_that_stands_for_itself_counts_as_much_as_all_that_stand_for_another(name: str) -> None:
    said, right = sayings(3, 200)
    rule: Any = RULES[name](said, right)
    many, twins = rule.of_members([2, 1, 2]), said[[0, 0, 1, 2, 2]]
    assert (many.voted(THREE, twins) == rule.voted(THREE, said)).all()
    expected = rule.probabilities(THREE, said)
    assert many.probabilities(THREE, twins) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_the_same_from_the_store(name: str) -> None:
    import json

    said, right = sayings(3, 200)
    rule: Any = RULES[name](said, right)
    rule = Combination(
        rule.vote, rule.weights, rule.members, rule.stack, Recalibration(2.0, (0.1, 0, -0.1))
    )
    again = Combination.from_dict(json.loads(json.dumps(rule.as_dict())))
    assert again.as_dict() == rule.as_dict()
    assert (again.probabilities(THREE, said) == rule.probabilities(THREE, said)).all()
    assert (
        again.probabilities(THREE, said) != RULES[name](said, right).probabilities(THREE, said)
    ).any()


def test_the_ratio_says_what_a_vote_can_give() -> None:
    right = np.zeros(4, dtype=int)
    same = np.array([[1, 0, 0, 0], [1, 0, 0, 0]])
    apart = np.array([[1, 0, 0, 0], [0, 1, 0, 0]])
    assert disagreement_error_ratio(THREE, same, right) == 0.0
    assert disagreement_error_ratio(THREE, apart, right) == pytest.approx(0.5 / 0.25)
    assert disagreement_error_ratio(THREE, np.zeros((2, 4), dtype=int), right) is None
