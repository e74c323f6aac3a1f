"""The metrics: each passes the suite, says what scikit-learn says, and is found by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS, Metric
from tests.workers.metric_suite import CHECKS, check_metric, expected_rows, guesses

#: By name, the function of scikit-learn that says the same of one row.
THEIRS: dict[str, Callable[..., Any]] = {
    "accuracy": sklearn.accuracy_score,
    "balanced_accuracy": sklearn.balanced_accuracy_score,
    "macro_f1": lambda *row: sklearn.f1_score(*row, average="macro"),
    "micro_f1": lambda *row: sklearn.f1_score(*row, average="micro"),
    "mcc": sklearn.matthews_corrcoef,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_passes_the_suite(name: str, check: Callable[[Metric], None]) -> None:
    assert METRICS[name].name == name
    check(METRICS[name])


@pytest.mark.parametrize("name", THEIRS)
def test_scikit_learn_says_the_same(name: str) -> None:
    expected, metric = expected_rows(), METRICS[name]
    predicted = guesses(metric, expected, 0)
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
        "from autoprompt.workers.metrics import Metric\n"
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


def test_the_suite_notices_a_metric_that_is_none() -> None:
    with pytest.raises(AssertionError):
        check_metric(Metric("constant", lambda expected, predicted: 0.5))


def test_an_unknown_metric_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no metric named 'macrof1'; the nearest is macro_f1"):
        METRICS["macrof1"]


def test_degenerate_predictions_have_a_number() -> None:
    """Always the larger class: right nine times of ten, and yet blind to one label."""
    expected, predicted = np.array([0] * 9 + [1]), np.zeros(10, dtype=np.intp)
    scores = {name: METRICS[name].score(expected, predicted) for name in THEIRS}
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
