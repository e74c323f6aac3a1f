"""Recalibration: one temperature and a bias for each answer make probabilities mean what they say
(temperature scaling, Guo et al. 2017, with biases as in Alexandari et al. 2020).

It is fitted to predictions for texts that the prompts did not learn, and changes no decision by
itself unless a vote says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from autoprompt.workers.metric_functions import Floats

#: Temperatures lie within this factor of 1, so that labels which some texts separate entirely
#: make no certainty of a few texts.
_LARGEST = 20.0

#: How much a squared bias costs, in nats over all texts: none of it matters beside ten texts, and
#: an answer that no text has keeps a bias that is a number.
_BIAS_COST = 0.1

#: And a squared logarithm of the temperature: a normal prior, which a few texts yield to.
_TEMPERATURE_COST = 0.5


@dataclass(frozen=True)
class Recalibration:
    """What is made of log-probabilities: divided by the temperature, biases added, normalised.

    Attributes:
        biases: [A], of which the mean is 0.
    """

    temperature: float
    biases: tuple[float, ...]

    def __call__(self, log_probs: Floats) -> Floats:
        """[..., A] to [..., A]."""
        scaled = np.asarray(log_probs, dtype=np.float64) / self.temperature
        return np.asarray(log_softmax(scaled + np.array(self.biases), axis=-1))

    def as_dict(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "biases": list(self.biases)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Recalibration":
        return cls(content["temperature"], tuple(content["biases"]))


def recalibration(log_probs: Floats, expected: Sequence[int], biased: bool = True) -> Recalibration:
    """The temperature and the biases that make the right answers of B texts most probable.

    Args:
        log_probs: [B, A].
        expected: [B].
        biased: whether an answer's place says anything, so that it may have a bias.
    """
    answers, right = log_probs.shape[-1], np.asarray(expected)
    scores = np.maximum(np.asarray(log_probs, dtype=np.float64), -1e4)
    rows = np.arange(len(right))
    one_hot = np.eye(answers)[right]

    def cost(numbers: Floats) -> tuple[float, Floats]:
        sharpness, biases = np.exp(-numbers[0]), numbers[1:]
        given = log_softmax(scores * sharpness + biases, axis=-1)
        apart = np.exp(given) - one_hot
        slopes = np.empty_like(numbers)
        slopes[0] = -(apart * scores).sum() * sharpness + 2 * _TEMPERATURE_COST * numbers[0]
        slopes[1:] = (apart.sum(axis=0) + 2 * _BIAS_COST * biases) * biased
        held = _TEMPERATURE_COST * numbers[0] ** 2 + _BIAS_COST * (biases**2).sum()
        return float(-given[rows, right].sum() + held), slopes

    limit = float(np.log(_LARGEST))
    found = minimize(
        cost,
        np.zeros(1 + answers),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-limit, limit), *[(None, None)] * answers],
    )
    biases = found.x[1:] - found.x[1:].mean()
    return Recalibration(float(np.exp(found.x[0])), tuple(biases.tolist()))
