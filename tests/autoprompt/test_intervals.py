"""Intervals of the calibration error, to which resampling adds: what they hold."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autoprompt.statistics.intervals import estimate, estimate_mean
from autoprompt.workers.metrics import METRICS

ECE = METRICS["ece"]


def drawn(
    rng: np.random.Generator, texts: int, scale: float
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Labels, and probabilities whose logits are so many times too large."""
    logits = rng.normal(0, 1.5, texts)
    right = 1 / (1 + np.exp(-logits))
    said = 1 / (1 + np.exp(-scale * logits))
    return (rng.random(texts) < right).astype(np.intp), np.stack([1 - said, said], axis=1)


@pytest.mark.parametrize("scale", [1.0, 1.6])
def test_the_interval_holds_the_score_and_covers_as_stated(scale: float) -> None:
    """What as many other texts would show on the mean, and what infinitely many would: of
    calibrated probabilities the latter is 0."""
    rng = np.random.default_rng(0)
    rounds, texts = 100, 200
    expected = np.mean([ECE.score(*drawn(rng, texts, scale)) for _ in range(1000)])
    true = 0.0 if scale == 1 else ECE.score(*drawn(rng, 400_000, scale))
    found = [estimate(ECE, *drawn(rng, texts, scale)) for _ in range(rounds)]
    assert all(own.low <= own.score <= own.high for own in found)
    for value in (expected, true):
        assert sum(own.low <= value <= own.high for own in found) >= 0.9 * rounds
    # Not by being as wide as it likes.
    assert np.mean([own.high - own.low for own in found]) < 0.16


def test_what_is_clearly_not_calibrated_is_told_from_0() -> None:
    labels, said = drawn(np.random.default_rng(0), 1000, 3.0)
    assert estimate(ECE, labels, said).low > 0.05


def test_a_mean_of_members_lies_within_its_interval() -> None:
    rng = np.random.default_rng(0)
    labels, said = drawn(rng, 300, 1.0)
    found = estimate_mean(ECE, labels, [said, np.roll(said, 1, axis=1), said**2 / 2 + 0.1])
    assert found.low < found.score < found.high
    alone = estimate(ECE, labels, said)
    assert estimate_mean(ECE, labels, [said, said]) == alone
