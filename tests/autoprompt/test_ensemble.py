"""Votes and ties, and intervals that mean what they say."""

import numpy as np
import pytest

from autoprompt.statistics.intervals import estimate, estimate_mean
from autoprompt.workers.agreement import agreement, mean_agreement
from autoprompt.workers.answers import answers_of
from autoprompt.workers.combination import heads
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.vote import cast_votes, predictions, vote_weights
from autoprompt.workers.wording import Wording

LABELS = answers_of(Wording(label_words={"negative": ("bad",), "positive": ("good",)}))


def log_probs(*members: list[float]) -> np.ndarray:
    ones = np.array(members)
    return np.log(np.stack([1 - ones, ones], axis=-1))


def test_the_majority_wins_however_sure_the_others_are() -> None:
    members = log_probs([0.51], [0.51], [0.01])
    voted = cast_votes(members)
    assert voted.tolist() == [1]
    support = heads([1.0] * 3).support(LABELS, members, voted)
    assert support.tolist() == pytest.approx([2 / 3])


def test_a_tie_goes_to_the_summed_log_probability() -> None:
    members = log_probs([0.9, 0.9], [0.4, 0.01])
    voted = cast_votes(members)
    assert voted.tolist() == [1, 0]
    assert heads([1.0, 1.0]).support(LABELS, members, voted).tolist() == [0.5, 0.5]


def test_a_label_without_votes_never_wins_a_tie() -> None:
    votes = np.log(np.array([[[0.5, 0.1, 0.4]], [[0.1, 0.5, 0.4]]]))
    assert cast_votes(votes).tolist() == [0]


def test_a_weighted_vote_counts_heads_by_score() -> None:
    members = log_probs([0.9], [0.2], [0.2])
    assert cast_votes(members).tolist() == [0]
    scores = [0.9, 0.4, 0.4]
    weights = vote_weights("weighted", [1, 1, 1], scores)
    assert cast_votes(members, weights).tolist() == [1]
    assert vote_weights("majority", [1, 2], [0.9, 0.4]) == [1.0, 2.0]
    assert vote_weights("weighted", [1, 2], [0.9, 0.4]) == pytest.approx([0.9, 0.8])
    assert vote_weights("weighted", [1, 2], [0.0, 0.0]) == [1.0, 2.0]


def test_a_member_drawn_twice_has_two_heads() -> None:
    members = log_probs([0.9], [0.4])
    assert cast_votes(members, [1, 2]).tolist() == [0]
    tied = log_probs([0.9], [0.4], [0.4])
    assert cast_votes(tied, [2, 1, 1]).tolist() == [1]


def test_agreement_is_the_part_of_texts_on_which_two_say_the_same() -> None:
    members = log_probs([0.9, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.1], [0.1, 0.1, 0.9, 0.1])
    pairs = agreement(LABELS, predictions(members))
    assert pairs.tolist() == [[1, 0.75, 0.25], [0.75, 1, 0.5], [0.25, 0.5, 1]]
    assert mean_agreement(pairs) == pytest.approx(0.5)
    assert mean_agreement(pairs[:1, :1]) == 1.0


def test_wilson_for_accuracy() -> None:
    expected = np.zeros(100, dtype=np.intp)
    predicted = np.array([0] * 85 + [1] * 15)
    found = estimate(METRICS["accuracy"], expected, predicted)
    # Agresti and Coull 1998, equation 2, by hand.
    assert (found.score, found.method) == (0.85, "wilson")
    assert found.low == pytest.approx(0.7672, abs=1e-4)
    assert found.high == pytest.approx(0.9069, abs=1e-4)
    perfect = estimate(METRICS["accuracy"], expected[:10], np.zeros(10, dtype=np.intp))
    assert perfect.low < 0.75
    assert perfect.high == pytest.approx(1.0)


def test_the_mean_of_members_is_resampled_over_texts() -> None:
    rng = np.random.default_rng(0)
    expected = rng.integers(0, 2, 400)
    members = [np.where(rng.random(400) < 0.8, expected, 1 - expected) for _ in range(4)]
    found = estimate_mean(METRICS["accuracy"], expected, members)
    assert found.method == "bootstrap"
    assert found.low < found.score < found.high
    # Four members that err independently: a standard error of sqrt(0.8 * 0.2 / 1600) or so.
    assert 0.02 < found.high - found.low < 0.06
    assert estimate_mean(METRICS["accuracy"], expected, members) == found


def test_other_metrics_are_resampled() -> None:
    expected = np.array([0, 1] * 50)
    predicted = np.array([0, 1] * 40 + [1, 0] * 10)
    found = estimate(METRICS["macro_f1"], expected, predicted)
    assert found.method == "bootstrap"
    assert found.score == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
