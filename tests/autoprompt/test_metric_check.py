"""Metrics are tried on made-up answers in their own terms before anything starts."""

from typing import Any

import numpy as np
import pytest

from autoprompt.config import SearchConfig
from autoprompt.preparation.metric_check import with_checked_metric
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS, Metric

SEEN: list[tuple[Any, Any]] = []


def watched(expected: Any, predicted: Any) -> float:
    """A user's own."""
    SEEN.append((expected, predicted))
    return float(np.mean([own == said for own, said in zip(expected, predicted, strict=True)]))


@pytest.mark.parametrize(
    ("needs", "right", "said"),
    [
        ("values", 1.0, 0.0),
        ("texts", ("the number 1", "it is number 1"), "it is number 0"),
        ("spans", ((0, 4, "same"), (5, 9, "label 1")), ((0, 4, "same"), (5, 9, "label 0"))),
    ],
)
def test_a_users_own_is_tried_in_its_own_terms(
    needs: Any, right: Any, said: Any, tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METRICS, "_entries", METRICS._entries.copy())
    METRICS.add("watched", Metric("watched", watched, needs=needs))
    tiny_config["task"]["metric"] = "watched"
    SEEN.clear()
    with_checked_metric(SearchConfig.model_validate(tiny_config))
    [(expected, predicted)] = SEEN
    assert len(expected) == len(predicted) == 4
    assert (expected[2], predicted[2]) == (right, said)


def test_a_package_that_is_missing_is_named_with_the_metric_that_wants_it(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config["task"]["metric"] = "bleu"
    with_checked_metric(SearchConfig.model_validate(tiny_config))

    monkeypatch.delitem(vars(METRICS["bleu"].function), "_scorer")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"task.metric: bleu needs sacrebleu; install 'autoprompt-search\["
    ):
        with_checked_metric(SearchConfig.model_validate(tiny_config))
