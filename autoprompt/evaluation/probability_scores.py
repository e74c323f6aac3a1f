"""Whether probabilities mean what they say: log loss, Brier score and expected calibration error
with their intervals, and the bins that a reliability plot shows (Guo et al. 2017)."""

from typing import Any

from autoprompt.statistics.intervals import estimate
from autoprompt.workers.metric_functions import BINS, Floats, Labels, bins_of
from autoprompt.workers.metrics import METRICS

_SCORES = ("log_loss", "brier", "ece")


def probability_scores(expected: Labels, probabilities: Floats) -> dict[str, Any]:
    """What B texts' probabilities are worth.

    Args:
        expected: [B].
        probabilities: [B, L].

    Returns:
        log_loss (nats), brier and ece, each an estimate; and `bins`, of confidence, the probability
        of the likeliest label: low, high, how many texts, their mean confidence, and the part of
        them that is right.
    """
    scores = {name: estimate(METRICS[name], expected, probabilities).as_dict() for name in _SCORES}
    confidence = probabilities.max(axis=-1)
    right = probabilities.argmax(axis=-1) == expected
    bins = bins_of(confidence)
    rows = [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "texts": int(own.sum()),
            "confidence": float(confidence[own].mean()),
            "right": float(right[own].mean()),
        }
        for number in range(BINS)
        if (own := bins == number).any()
    ]
    return scores | {"bins": rows}
