"""Differences of scores on the same texts: intervals that hold what they promise."""

from dataclasses import replace

import numpy as np
import pytest
import scipy

from autoprompt.statistics.paired_difference import paired_difference, score_interval
from autoprompt.workers.metrics import METRICS


def likeliest(difference: float, only_first: int, only_second: int, texts: int) -> float:
    """The part of texts that the second alone has right, by searching for it."""
    both = texts - only_first - only_second

    def unlikely(part: float) -> float:
        parts = (part + difference, part, 1 - 2 * part - difference)
        counts = (only_first, only_second, both)
        return -sum(
            count * np.log(max(share, 1e-300)) for count, share in zip(counts, parts, strict=True)
        )

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    return float(
        scipy.optimize.minimize_scalar(
            unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
    )


@pytest.mark.parametrize("counts", [(12, 2, 50), (1, 1, 44), (30, 25, 400), (3, 9, 20)])
def test_the_score_intervals_ends_are_where_the_test_begins_to_reject(
    counts: tuple[int, int, int],
) -> None:
    only_first, only_second, texts = counts
    for level in (0.05, 0.001):
        for end in score_interval(*counts, level):
            part = likeliest(end, *counts)
            variance = texts * (2 * part + end - end**2)
            statistic = abs(only_first - only_second - texts * end) / np.sqrt(variance)
            assert statistic == pytest.approx(scipy.stats.norm.ppf(1 - level / 2), rel=1e-3)


def test_the_score_interval_has_a_width_where_none_differ_and_ends_at_one() -> None:
    square = scipy.stats.norm.ppf(0.975) ** 2
    assert score_interval(0, 0, 20) == pytest.approx(
        (-square / (20 + square), square / (20 + square))
    )
    low, high = score_interval(20, 0, 20)
    assert 0.6 < low < high == 1
    assert score_interval(2, 12, 50) == pytest.approx(
        tuple(-end for end in reversed(score_interval(12, 2, 50)))
    )


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_in_95_of_100_cases_the_interval_holds_the_difference(metric: str) -> None:
    judge, rng = METRICS[metric], np.random.default_rng(0)

    def drawn(texts: int) -> tuple[np.ndarray, list[np.ndarray]]:
        expected = rng.integers(0, 2, texts)
        hard = rng.normal(size=texts)
        ahead = [skill - hard + 0.5 * rng.normal(size=texts) for skill in (1.0, 0.7)]
        right = [1 / (1 + np.exp(-own)) for own in ahead]
        probabilities = [
            np.stack([np.where(expected == label, own, 1 - own) for label in (0, 1)], -1)
            for own in right
        ]
        return expected, [judge.predictions(np.log(own)) for own in probabilities]

    expected, predicted = drawn(200_000)
    true = judge.score(expected, predicted[0]) - judge.score(expected, predicted[1])
    held = corrected = 0
    for _ in range(200):
        expected, predicted = drawn(150)
        found = paired_difference(judge, expected, *predicted, comparisons=3)
        assert found.corrected is not None
        held += found.low <= true <= found.high
        corrected += found.corrected.low <= true <= found.corrected.high
    assert 182 <= held <= 198
    assert held < corrected


def test_texts_are_resampled_in_pairs_whatever_the_metric() -> None:
    """Accuracy, told of as a metric that nothing is known of, gets nearly the same interval."""
    rng = np.random.default_rng(0)
    expected, first = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    second = np.where(rng.random(400) < 0.1, 1 - first, first)
    unknown = replace(METRICS["accuracy"], mean_over_examples=False)
    counted, drawn = (
        paired_difference(metric, expected, first, second)
        for metric in (METRICS["accuracy"], unknown)
    )
    assert (counted.method, drawn.method) == ("score", "bootstrap")
    assert drawn.difference == counted.difference
    assert (drawn.low, drawn.high) == pytest.approx((counted.low, counted.high), abs=0.005)
    assert drawn.p == pytest.approx(counted.p, abs=0.1)


def test_p_is_never_nothing_and_one_for_the_same_answers() -> None:
    expected = np.zeros(50, dtype=int)
    right, wrong = np.zeros(50, dtype=int), np.ones(50, dtype=int)
    apart = paired_difference(METRICS["macro_f1"], expected, right, wrong, comparisons=3)
    assert 0 < apart.p < 0.001
    assert apart.corrected is not None
    assert apart.corrected.p == 3 * apart.p
    for metric in ("accuracy", "macro_f1"):
        assert paired_difference(METRICS[metric], expected, wrong, wrong).p == 1
