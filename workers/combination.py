"""How what N members say of a text becomes one answer and its probabilities.

By counted or weighted heads (Lester et al. 2021, section 6); by the mean of recalibrated
log-probabilities (the logarithmic opinion pool, Genest and Zidek 1986); or by logistic regression
over all of the members' log-probabilities (stacking, Wolpert 1992).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from autoprompt.workers.answers import Answers
from autoprompt.workers.metric_functions import Floats
from autoprompt.workers.metrics import Metric
from autoprompt.workers.recalibration import Recalibration
from autoprompt.workers.vote import Vote

#: A probability of 0 has no logarithm.
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Stack:
    """A linear layer over the members' log-probabilities.

    Attributes:
        coefficients: [N, A, A], from each member's answers to the joint ones.
        biases: [A].
    """

    coefficients: Floats
    biases: Floats

    def __call__(self, log_probs: Floats) -> Floats:
        """[N, B, A] to [B, A]."""
        finite = np.maximum(log_probs, np.log(_SMALLEST))
        joint = np.einsum("nba,nac->bc", finite, self.coefficients) + self.biases
        return np.asarray(log_softmax(joint, axis=-1))


@dataclass(frozen=True)
class Combination:
    """The rule by which N members answer together.

    Attributes:
        weights: [N], what each member's vote counts.
        members: [N], how each is recalibrated before their mean is taken; None for other votes.
        stack: of a stacked vote.
        joint: how the probabilities that the members give together are recalibrated; None where
            they are left as they are, as in searches of older versions.
    """

    vote: Vote
    weights: tuple[float, ...]
    members: tuple[Recalibration, ...] | None = None
    stack: Stack | None = None
    joint: Recalibration | None = None

    def log_probs(self, answers: Answers, log_probs: Floats) -> Floats:
        """[B, A], of what the members say together, [N, B, A], before it is recalibrated."""
        if self.stack is not None:
            return self.stack(log_probs)
        if self.members is not None:
            said = [own(rows) for own, rows in zip(self.members, log_probs, strict=True)]
            mean = np.average(said, axis=0, weights=self.weights)
            return np.asarray(log_softmax(mean, axis=-1))
        return np.log(np.maximum(answers.mixed(log_probs, self.weights), _SMALLEST))

    def probabilities(self, answers: Answers, log_probs: Floats) -> Floats:
        """[B, A], of [N, B, A]."""
        if self.joint is None and self.stack is None and self.members is None:
            return answers.mixed(log_probs, self.weights)
        joint = self.log_probs(answers, log_probs)
        return np.exp(joint if self.joint is None else self.joint(joint))

    def voted(self, answers: Answers, log_probs: Floats) -> NDArray[Any]:
        """The answer that the members choose for each of B texts, of [N, B, A], as `decided` has
        it."""
        pooled = self.vote == "mean" and not answers.categorical
        if self.stack is None and self.members is None and not pooled:
            return answers.voted(log_probs, self.weights)
        return answers.decided(self.log_probs(answers, log_probs))

    def support(self, answers: Answers, log_probs: Floats, decisions: NDArray[Any]) -> Floats:
        """[B], the part of the votes that is for a decision, of [N, B, A]."""
        alike = answers.same(answers.decided(log_probs), decisions)
        return np.average(alike, axis=0, weights=self.weights)

    def judged(self, answers: Answers, metric: Metric, log_probs: Floats) -> NDArray[Any]:
        """What a metric judges of [N, B, A]: the chosen answers [B], or probabilities [B, A]."""
        if metric.needs != "probabilities":
            return self.voted(answers, log_probs)
        return self.probabilities(answers, log_probs)

    def of_members(self, counts: Sequence[int]) -> "Combination":
        """The same rule where several members, so many each, stand in the place of one: they share
        what its vote counts, a head each where there are as many for all, and what is linear."""
        most = max(counts)
        repeat = [place for place, count in enumerate(counts) for _ in range(count)]
        stack = self.stack
        if stack is not None:
            shares = np.array([1 / counts[place] for place in repeat])
            stack = Stack(stack.coefficients[repeat] * shares[:, None, None], stack.biases)
        return replace(
            self,
            weights=tuple(self.weights[place] * most / counts[place] for place in repeat),
            members=self.members and tuple(self.members[place] for place in repeat),
            stack=stack,
        )

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "vote": self.vote,
            "weights": list(self.weights),
            "recalibrated": self.members and [own.as_dict() for own in self.members],
            "stack": self.stack
            and {
                "coefficients": self.stack.coefficients.tolist(),
                "biases": self.stack.biases.tolist(),
            },
            "joint": self.joint and self.joint.as_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Combination":
        """The inverse of `as_dict`; of older versions' ensembles, too, which had weights alone."""
        own, stack, joint = (content.get(key) for key in ("recalibrated", "stack", "joint"))
        return cls(
            vote=content["vote"],
            weights=tuple(content["weights"]),
            members=own and tuple(map(Recalibration.from_dict, own)),
            stack=stack and Stack(np.array(stack["coefficients"]), np.array(stack["biases"])),
            joint=joint and Recalibration.from_dict(joint),
        )


def heads(weights: Sequence[float]) -> Combination:
    """Counted heads, probabilities as they come."""
    return Combination("majority", tuple(weights))
