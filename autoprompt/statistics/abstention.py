"""From which probability on a vote answers, so that few of its answers are wrong.

As an estimate: the lowest threshold at which the part of the answers that is wrong, counted with
one error more, is small enough on texts that also chose the vote. With a guarantee: thresholds are
tested one after another from a high one down, by the upper Clopper-Pearson bound of that part, on
texts that chose nothing, and the last one before the first that fails is taken (fixed sequence
testing, Angelopoulos et al. 2021).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from autoprompt.workers.metric_functions import Floats

#: Thresholds that are tried, from high to low: fixed beforehand.
_GRID = np.round(np.linspace(0.995, 0.0, 200), 4)

#: The first threshold that is tested answers at least this part of the texts, and so many times
#: those without which no bound could be low enough.
_FIRST_PART, _FIRST_TIMES = 0.25, 2


@dataclass(frozen=True)
class Abstention:
    """When a vote gives no answer.

    Attributes:
        error: the part of the answers that may be wrong.
        threshold: the lowest probability that is answered.
        coverage: the part of the texts that is answered, of those that this was found on.
        wrong: the part of these answers that is wrong.
        bound: of that part, with the confidence that was asked for; None of an estimate.
        confidence: with which the error is guaranteed; None where it is an estimate.
        reached: whether any threshold does; else this one comes nearest.
        texts: how many it was found on.
    """

    error: float
    threshold: float
    coverage: float
    wrong: float
    bound: float | None
    confidence: float | None
    reached: bool
    texts: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Abstention":
        return cls(**content)

    def reason(self, probability: float) -> str | None:
        """Why a text gets no answer; None where it gets one."""
        if probability >= self.threshold:
            return None
        return (
            f"its probability, {probability:.3f}, is below {self.threshold:g}, from which on at "
            f"most {self.error:.0%} of the answers should be wrong"
        )


def abstention(
    probabilities: Floats,
    right: Sequence[bool] | NDArray[np.bool_],
    error: float,
    confidence: float | None = None,
) -> Abstention:
    """The threshold that answers most texts and keeps errors few.

    Args:
        probabilities: [B], of the answers.
        right: [B], whether they are.
        error: the part of the answers that may be wrong.
        confidence: for a guarantee, on texts that chose nothing; None for an estimate.
    """
    sure, good = np.asarray(probabilities), np.asarray(right, dtype=bool)
    rated = []
    for threshold in _GRID:
        answered = sure >= threshold
        count, wrong = int(answered.sum()), int((answered & ~good).sum())
        if count:
            rated.append((_rated(count, wrong, confidence), float(threshold), count, wrong))
    if confidence is not None:
        needed = np.log(1 - confidence) / np.log(1 - error)
        first = max(_FIRST_TIMES * needed, _FIRST_PART * len(sure))
        rated = [row for row in rated if row[2] >= first] or rated[-1:]
        passed = list(itertools.takewhile(lambda row: row[0] <= error, rated))
    else:
        passed = [row for row in rated if row[0] <= error]
    rate, threshold, count, wrong = passed[-1] if passed else min(rated)
    return Abstention(
        error=error,
        threshold=threshold,
        coverage=count / len(sure),
        wrong=wrong / count,
        bound=rate if confidence is not None else None,
        confidence=confidence,
        reached=bool(passed),
        texts=len(sure),
    )


def _rated(count: int, wrong: int, confidence: float | None) -> float:
    """What the part of wrong answers is held to be."""
    if confidence is None:
        return (wrong + 1) / (count + 1)
    if wrong == count:
        return 1.0
    return float(stats.beta.ppf(confidence, wrong + 1, count - wrong))
