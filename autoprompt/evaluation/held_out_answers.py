"""What held-out texts were answered, as the store keeps it: two searches are compared, and errors
looked into, without asking the model again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from autoprompt.workers.answers import Answers, Right
from autoprompt.workers.combination import Combination
from autoprompt.workers.metrics import Metric
from autoprompt.workers.recalibration import Recalibration
from autoprompt.workers.vote import Floats

#: Whose answers are judged.
Answerer = Literal["best", "ensemble"]


@dataclass(frozen=True)
class HeldOutAnswers:
    """What B held-out texts were answered, beside what is right.

    Probabilities are kept of the best prompt and of the ensemble alone: those of nine members would
    be 150 MB for 50,000 texts and 77 labels.

    Attributes:
        expected: [B] or [B, L], what is right.
        decided: [2 + N, B] or [2 + N, B, L], what is decided without a prompt, by the best one, by
            each member.
        voted: [B] or [B, L], what the ensemble decides.
        best: [B, A], the best prompt's log-probabilities, recalibrated; None where answers are not
            `categorical`.
        mixed: [B, A], the logarithms of the ensemble's probabilities; as `best`.
    """

    expected: NDArray[Any]
    decided: NDArray[Any]
    voted: NDArray[Any]
    best: Floats | None = None
    mixed: Floats | None = None

    @classmethod
    def of(
        cls,
        answers: Answers,
        labels: Sequence[Right],
        combination: Combination,
        log_probs: Floats,
        own: Recalibration | None = None,
    ) -> "HeldOutAnswers":
        """What is said of texts whose right labels are known.

        Args:
            labels: [B].
            combination: how the N members vote.
            log_probs: [2 + N, B, A]: without a prompt, of the best one, of each member.
            own: of the best prompt's probabilities, which decides nothing.
        """
        said = cls(
            expected=answers.right(labels),
            decided=answers.decided(log_probs),
            voted=combination.voted(answers, log_probs[2:]),
        )
        if not answers.categorical:
            return said
        with np.errstate(divide="ignore"):
            mixed = np.log(combination.probabilities(answers, log_probs[2:]))
        return replace(said, best=log_probs[1] if own is None else own(log_probs[1]), mixed=mixed)

    def packed(self, answers: Answers) -> bytes:
        """As safetensors; the probabilities as their kind of answers is stored."""
        tensors = {name: answers.tensor(getattr(self, name)) for name in _DECISIONS}
        for name in _PROBABILITIES:
            said = getattr(self, name)
            if said is not None:
                packed = answers.packed(said.astype(np.float32))
                tensors[name] = np.frombuffer(packed, np.uint8)
        return bytes(save(tensors))

    @classmethod
    def unpacked(cls, content: bytes, answers: Answers) -> "HeldOutAnswers":
        """The inverse of `packed`."""
        stored = load(content)
        probabilities = {
            name: answers.unpacked(stored[name].tobytes())
            for name in _PROBABILITIES
            if name in stored
        }
        decisions = {name: answers.from_tensor(stored[name]) for name in _DECISIONS}
        return cls(**decisions, **probabilities)

    def decisions(self, answerer: Answerer) -> NDArray[Any]:
        """[B] or [B, L], what it decides."""
        return self.voted if answerer == "ensemble" else self.decided[1]

    def judged(self, answerer: Answerer, metric: Metric) -> NDArray[Any]:
        """What a metric judges of it: answers [B], or probabilities [B, A]."""
        log_probs = self.mixed if answerer == "ensemble" else self.best
        if log_probs is None:
            return self.decisions(answerer)
        return metric.predictions(log_probs, lambda _: self.decisions(answerer))


_DECISIONS = ("expected", "decided", "voted")
_PROBABILITIES = ("best", "mixed")
