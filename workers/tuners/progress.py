"""What a tuner asks for, what becomes of it at a rung, and when the rungs are."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.prompt import Laid, Prompt
from autoprompt.workers.tuners.company import Company


class TrialDivergedError(AutopromptError, ArithmeticError):
    """A trial's loss is no number any more; its message says when and what may help."""


class Backward(NamedTuple):
    """A step that a tuner asks for: it is sent the prompt's mean loss on the batch, once the
    gradients lie where its embeddings come from.

    Attributes:
        laid: the prompt's embeddings.
        batch: indices of train texts.
        company: what the prompts say of them that it is trained to differ from; a pack knows.
    """

    laid: Laid
    batch: list[int]
    company: Company | None = None


class AtRung(NamedTuple):
    """A prompt that a tuner has at a rung, to be judged; it is sent 0.

    Attributes:
        rung: counted from 1.
        step: steps or rounds done.
        prompt: as it is now, not calibrated.
        losses: of the training batches since the last rung.
        keeps_best: a better prompt of an earlier rung is reported in its place.
    """

    rung: int
    step: int
    prompt: Prompt
    losses: list[float]
    keeps_best: bool = False


Tuner = Generator[Backward | AtRung, float, None]


@dataclass(frozen=True)
class Progress:
    """A trial's state at a rung.

    Attributes:
        rung: counted from 1.
        step: steps or rounds done.
        score: the task's metric on validation, oriented: more is better.
        loss: mean negative log-probability of the right labels on validation, in nats.
        train_loss: the same over the training batches since the last rung.
        prompt: the prompt as it is now, or the best so far where that is what the tuner keeps.
        log_probs: [B, L] of the validation texts that judged it: all as they come, or its block.
        gradient_norm: Euclidean norm of the last step's gradient by the prompt's embeddings, as it
            came; None where there was no step since the last rung.
        ended: whether the trial has nothing more to report.
        judged: how many validation texts judged it; None for all of them.
    """

    rung: int
    step: int
    score: float
    loss: float
    train_loss: float
    prompt: Prompt
    log_probs: Tensor
    gradient_norm: float | None = None
    ended: bool = False
    judged: int | None = None

    @property
    def merit(self) -> tuple[float, float]:
        """What makes one rung of a trial better than another: the score, then the loss."""
        return self.score, -self.loss


def rungs_by_step(budget: int, fractions: Sequence[float]) -> dict[int, int]:
    """Step -> rung. Where a small budget puts two rungs on one step, the later one stays."""
    return {max(1, math.ceil(budget * part)): rung for rung, part in enumerate(fractions, 1)}


def checked(loss: float, step: int, hint: str) -> float:
    """The loss, if it is a number.

    Raises:
        TrialDivergedError: it is not.
    """
    if not math.isfinite(loss):
        raise TrialDivergedError(f"the training loss became {loss} at step {step}; {hint}")
    return loss
