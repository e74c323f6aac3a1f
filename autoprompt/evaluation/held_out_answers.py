"""What held-out texts were answered, as the store keeps it: two searches are compared, and errors
looked into, without asking the model again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from autoprompt.workers.answers import Answers
from autoprompt.workers.combination import Combination
from autoprompt.workers.metric_functions import Labels
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
        expected: [B], the right labels.
        decided: [2 + N, B], what is decided without a prompt, by the best one, by each member.
        voted: [B], what the ensemble decides.
        best: [B, A], the best prompt's log-probabilities, recalibrated.
        mixed: [B, A], the logarithms of the ensemble's probabilities.
    """

    expected: Labels
    decided: Labels
    voted: Labels
    best: Floats
    mixed: Floats

    @classmethod
    def of(
        cls,
        answers: Answers,
        labels: Sequence[int],
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
        with np.errstate(divide="ignore"):
            mixed = np.log(combination.probabilities(answers, log_probs[2:]))
        return cls(
            expected=np.array(labels),
            decided=answers.decided(log_probs),
            voted=combination.voted(answers, log_probs[2:]).labels,
            best=log_probs[1] if own is None else own(log_probs[1]),
            mixed=mixed,
        )

    def packed(self, answers: Answers) -> bytes:
        """As safetensors; the probabilities as their kind of answers is stored."""
        numbers = {name: getattr(self, name).astype(np.int32) for name in _NUMBERS}
        probabilities = {
            name: answers.packed(getattr(self, name).astype(np.float32)) for name in _PROBABILITIES
        }
        return bytes(
            save(
                numbers
                | {name: np.frombuffer(own, np.uint8) for name, own in probabilities.items()}
            )
        )

    @classmethod
    def unpacked(cls, content: bytes, answers: Answers) -> "HeldOutAnswers":
        """The inverse of `packed`."""
        stored = load(content)
        expected, decided, voted = (stored[name].astype(np.intp) for name in _NUMBERS)
        best, mixed = (answers.unpacked(stored[name].tobytes()) for name in _PROBABILITIES)
        return cls(expected, decided, voted, best, mixed)

    def decisions(self, answerer: Answerer) -> Labels:
        """[B], what it decides."""
        return self.voted if answerer == "ensemble" else self.decided[1]

    def judged(self, answerer: Answerer, metric: Metric) -> NDArray[Any]:
        """What a metric judges of it: answers [B], or probabilities [B, A]."""
        log_probs = self.mixed if answerer == "ensemble" else self.best
        return metric.predictions(log_probs, lambda _: self.decisions(answerer))


_NUMBERS = ("expected", "decided", "voted")
_PROBABILITIES = ("best", "mixed")
