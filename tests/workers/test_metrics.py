"""The metrics: each passes the suite, says what scikit-learn says, and is found by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.statistics.intervals import estimate
from autoprompt.workers.metrics import METRICS, Metric
from tests.workers.metric_suite import CHECKS, check_metric, guesses, label_rows, right

#: By name, the function of scikit-learn or SciPy that says the same of one row.
THEIRS: dict[str, Callable[..., Any]] = {
    "accuracy": sklearn.accuracy_score,
    "balanced_accuracy": sklearn.balanced_accuracy_score,
    "macro_f1": lambda *row: sklearn.f1_score(*row, average="macro"),
    "micro_f1": lambda *row: sklearn.f1_score(*row, average="micro"),
    "mcc": sklearn.matthews_corrcoef,
    "log_loss": sklearn.log_loss,
    "brier": sklearn.brier_score_loss,
    "auc": lambda *row: sklearn.roc_auc_score(*row, multi_class="ovr"),
    "mae": sklearn.mean_absolute_error,
    "rmse": sklearn.root_mean_squared_error,
    "pearson": lambda *row: stats.pearsonr(*row).statistic,
    "spearman": lambda *row: stats.spearmanr(*row).statistic,
    "multilabel_micro_f1": lambda *row: sklearn.f1_score(*row, average="micro"),
    "multilabel_macro_f1": lambda *row: sklearn.f1_score(*row, average="macro"),
    "subset_accuracy": sklearn.accuracy_score,
    "hamming_loss": sklearn.hamming_loss,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_passes_the_suite(name: str, check: Callable[[Metric], None]) -> None:
    assert METRICS[name].name == name
    check(METRICS[name])


@pytest.mark.parametrize("name", THEIRS)
def test_scikit_learn_and_scipy_say_the_same(name: str) -> None:
    labels, metric = label_rows(), METRICS[name]
    expected, predicted = right(metric, labels), guesses(metric, labels, 0)
    theirs = [THEIRS[name](*row) for row in zip(expected, predicted, strict=True)]
    np.testing.assert_allclose(metric.scores(expected, predicted), theirs, atol=1e-12)


def within_one(expected: Any, predicted: Any) -> Any:
    """A metric of labels that are a scale."""
    return np.mean(np.abs(expected - predicted) <= 1, axis=-1)


def test_a_metric_is_added_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_entries", METRICS._entries.copy())
    METRICS.add("within_one", Metric("within_one", within_one, vectorised=True))
    assert list(METRICS)[-1] == "within_one"
    check_metric(METRICS["within_one"])


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a user's, in the folder they are in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics_of_ours.py").write_text(
        "from autoprompt import Metric\n"
        "def right(expected, predicted):\n"
        "    return (expected == predicted).mean()\n"
        "right.mean_over_examples = True\n"
        "AGREEMENT = Metric('agreement', right)\n"
    )
    return tmp_path


def test_a_users_own_is_a_plain_function_or_a_metric(own: Path) -> None:
    function, metric = METRICS["metrics_of_ours:right"], METRICS["metrics_of_ours:AGREEMENT"]
    assert (function.name, function.mean_over_examples) == ("metrics_of_ours:right", True)
    assert (metric.name, metric.mean_over_examples) == ("metrics_of_ours:AGREEMENT", False)
    check_metric(function)
    assert METRICS["sklearn.metrics:cohen_kappa_score"].score(*np.eye(2, dtype=int)) == -1.0


def test_a_users_own_that_needs_every_label_is_resampled_where_they_are() -> None:
    """One that raises where texts have one label alone, as resampled texts may."""
    recall = Metric("recall", lambda expected, said: min(said[expected == 1]))
    expected, said = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert np.isnan(recall.scores(expected[None, :3], said[None, :3])).all()
    with pytest.raises(ValueError, match="empty"):
        recall.score(expected[:3], said[:3])
    found = estimate(recall, expected, said)
    assert (found.low, found.score, found.high) == (1.0, 1.0, 1.0)


def test_the_suite_notices_a_metric_that_is_none() -> None:
    with pytest.raises(AssertionError):
        check_metric(Metric("constant", lambda expected, predicted: 0.5))


def test_an_unknown_metric_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no metric named 'macrof1'; the nearest is macro_f1"):
        METRICS["macrof1"]


def test_what_a_metric_needs_is_one_of_a_few() -> None:
    with pytest.raises(ConfigError, match=r"needs is 'probs'; it is labels, .*, texts or spans"):
        Metric("mine", within_one, needs="probs")  # type: ignore[arg-type]


def test_degenerate_predictions_have_a_number() -> None:
    """Always the larger class: right nine times of ten, and yet blind to one label."""
    expected, predicted = np.array([0] * 9 + [1]), np.zeros(10, dtype=np.intp)
    names = [name for name in METRICS if METRICS[name].needs == "labels"]
    scores = {name: METRICS[name].score(expected, predicted) for name in names}
    assert scores == pytest.approx(
        {
            "accuracy": 0.9,
            "balanced_accuracy": 0.5,
            "macro_f1": 0.4737,
            "micro_f1": 0.9,
            "mcc": 0.0,
        },
        abs=1e-4,
    )


def of_two(*first: float) -> Any:
    """Probabilities of two labels."""
    return np.stack([first, 1 - np.array(first)], axis=-1)


def test_of_two_labels_scikit_learn_takes_the_second_ones_probability() -> None:
    expected = np.array([0, 1, 1, 0, 1, 0])
    probabilities = of_two(0.9, 0.2, 0.6, 0.6, 0.1, 0.3)
    for name, theirs in (
        ("brier", sklearn.brier_score_loss),
        ("auc", sklearn.roc_auc_score),
    ):
        ours = METRICS[name].score(expected, probabilities)
        assert ours == pytest.approx(theirs(expected, probabilities[:, 1])), name


def test_a_label_without_texts_or_with_all_has_no_roc_curve() -> None:
    auc = METRICS["auc"]
    assert auc.score(np.array([1, 1, 1]), of_two(0.9, 0.2, 0.6)) == 0.5
    three = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1]])
    # The third label is nowhere: the mean is of two perfect curves.
    assert auc.score(np.array([0, 1, 1]), three) == 1.0


def test_calibration_error_by_hand() -> None:
    """Five texts at a confidence of 0.9, four right; five at 0.6, two right: Guo et al., eq. 3."""
    probabilities = of_two(*[0.9] * 5, *[0.4] * 5)
    expected = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0])
    expected_error = 0.5 * abs(0.8 - 0.9) + 0.5 * abs(0.4 - 0.6)
    assert METRICS["ece"].score(expected, probabilities) == pytest.approx(expected_error)
    # Bins end in their upper bounds: confidences of 2/3 and 0.7 are not of the same one.
    mixed = of_two(2 / 3, 0.7)
    apart = (abs(1 - 2 / 3) + abs(0 - 0.7)) / 2
    assert METRICS["ece"].score(np.array([0, 1]), mixed) == pytest.approx(apart)


def test_a_probability_of_nought_costs_much_and_not_all() -> None:
    assert 30 < METRICS["log_loss"].score(np.array([0]), of_two(0.0)) < 40


def test_the_sign_by_which_more_is_better() -> None:
    up, down = METRICS["accuracy"].direction, METRICS["log_loss"].direction
    assert (up.oriented(0.9), down.oriented(0.4)) == (0.9, -0.4)
    assert (up.natural(0.9), down.natural(-0.4)) == (0.9, 0.4)
    assert (up.best([0.1, 0.9]), down.best([0.1, 0.9])) == (0.9, 0.1)
