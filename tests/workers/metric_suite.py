"""What every metric must do: a new one passes `check_metric`, and may be searched by."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.statistics.intervals import estimate, estimate_mean
from autoprompt.statistics.paired_difference import paired_difference
from autoprompt.statistics.significance import paired_p
from autoprompt.workers.metric_functions import Labels
from autoprompt.workers.metrics import Metric
from autoprompt.workers.metrics.made_up import decisions, right_answers

ROWS, TEXTS, LABELS = 6, 24, 3

#: Texts of one label alone, and a single text: what a small split or a resample may be.
LOPSIDED = [[0] * 5, [1, 1], [2], [0, 0, 1], [2, 2, 2, 1]]


def check_metric(metric: Metric) -> None:
    """All of it."""
    for check in CHECKS:
        check(metric)


def guesses(metric: Metric, labels: Labels, seed: int, skill: float = 1.0) -> NDArray[Any]:
    """Predictions of texts with these labels: of skill 0 by chance, above it better."""
    logits = np.random.default_rng(seed).normal(size=(*labels.shape, LABELS))
    logits += skill * np.eye(LABELS)[labels]
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    predicted = metric.predictions(
        log_probs, lambda said: decisions(metric.needs, said.argmax(axis=-1), LABELS)
    )
    predicted.flags.writeable = False
    return predicted


def right(metric: Metric, labels: Labels) -> NDArray[Any]:
    """What is right of texts with these labels."""
    expected = right_answers(metric.needs, labels, LABELS)
    expected.flags.writeable = False
    return expected


def label_rows(seed: int = 0) -> Labels:
    rows: Labels = np.random.default_rng(seed).integers(0, LABELS, (ROWS, TEXTS))
    rows.flags.writeable = False
    return rows


def check_a_score_is_a_finite_number(metric: Metric) -> None:
    for row in (*label_rows().tolist(), *LOPSIDED):
        labels = np.array(row)
        for skill in (-50.0, 0.0, 1.0, 50.0):
            score = metric.score(right(metric, labels), guesses(metric, labels, 1, skill))
            assert type(score) is float
            assert np.isfinite(score), (metric.name, row, skill)


def check_many_rows_are_scored_as_one_row_is(metric: Metric) -> None:
    labels = label_rows()
    expected, predicted = right(metric, labels), guesses(metric, labels, 2)
    one_by_one = [metric.score(*row) for row in zip(expected, predicted, strict=True)]
    np.testing.assert_allclose(metric.scores(expected, predicted), one_by_one, atol=1e-12)
    twofold = metric.scores(np.stack([expected] * 2), np.stack([predicted] * 2))
    np.testing.assert_allclose(twofold, [one_by_one] * 2, atol=1e-12)


def check_the_order_of_texts_does_not_matter(metric: Metric) -> None:
    labels = label_rows()[0]
    expected, predicted = right(metric, labels), guesses(metric, labels, 3)
    order = np.random.default_rng(4).permutation(TEXTS)
    shuffled = metric.score(expected[order], predicted[order])
    assert np.isclose(shuffled, metric.score(expected, predicted))


def check_better_predictions_score_better(metric: Metric) -> None:
    """On the mean over many draws: right ones against those by chance, and those against wrong."""
    labels = np.random.default_rng(5).integers(0, LABELS, (40, TEXTS))
    good, chance, wrong = (
        metric.direction.oriented(
            metric.scores(right(metric, labels), guesses(metric, labels, 6, skill)).mean()
        )
        for skill in (50.0, 0.0, -50.0)
    )
    assert good > chance > wrong, metric.name


def check_a_mean_over_examples_is_one(metric: Metric) -> None:
    if metric.mean_over_examples:
        labels = label_rows()[0]
        expected, predicted = right(metric, labels), guesses(metric, labels, 7)
        each = metric.each(expected, predicted)
        assert np.isclose(each.mean(), metric.score(expected, predicted))
        assert not metric.counts_right or set(each.tolist()) <= {0.0, 1.0}


def check_drawn_texts_are_scored_as_if_they_were_read_again(metric: Metric) -> None:
    labels = label_rows()[0]
    expected, predicted = right(metric, labels), guesses(metric, labels, 7, 0.0)
    places = np.random.default_rng(8).integers(0, TEXTS, (ROWS, TEXTS))
    again = [metric.score(expected[row], predicted[row]) for row in places]
    drawn = metric.resampler(expected, predicted)(places)
    np.testing.assert_allclose(drawn, again, atol=1e-12)
    assert len(set(again)) > 1


def check_intervals_and_differences_are_numbers(metric: Metric) -> None:
    for row in (label_rows()[0].tolist(), *LOPSIDED[2:4]):
        labels = np.array(row)
        expected = right(metric, labels)
        first, second = (guesses(metric, labels, seed) for seed in (8, 9))
        for found in (
            estimate(metric, expected, first),
            estimate_mean(metric, expected, [first, second]),
        ):
            assert found.low <= found.score + 1e-12
            assert found.score <= found.high + 1e-12
        p, _ = paired_p(metric, expected, first, second)
        assert 0 <= p <= 1
        assert paired_p(metric, expected, first, first)[0] == 1
        apart = paired_difference(metric, expected, first, second)
        assert apart.low <= apart.difference + 1e-12
        assert apart.difference <= apart.high + 1e-12


CHECKS = (
    check_a_score_is_a_finite_number,
    check_many_rows_are_scored_as_one_row_is,
    check_the_order_of_texts_does_not_matter,
    check_better_predictions_score_better,
    check_a_mean_over_examples_is_one,
    check_drawn_texts_are_scored_as_if_they_were_read_again,
    check_intervals_and_differences_are_numbers,
)
