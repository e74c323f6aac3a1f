"""What every kind of answers must say: what is scored, the loss, the decision, how members vote.

`Answers` know their wording and neither model nor torch: they say what stored predictions mean. A
`Readout` is the same answers behind a question on one model: what is asked of its logits, and
what is learned from them. **A** is the number of answers that are scored for each text: the labels,
where words stand for labels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.vote import Ballot, Floats
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from torch import Tensor

    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question
    from autoprompt.workers.text_states import TokenIds
    from autoprompt.workers.token_trie import TokenTrie


class Readout(ABC):
    """Answers seen through one model's tokenizer, behind one question.

    Attributes:
        size: A.
        kept: the tokens whose logits are asked of the model; None for all of the vocabulary.
        branches: what the model must read behind the question to be asked for more than one token,
            an empty trie where it is asked for one.
        starts: tokens that stand for the answers, from which a soft prompt may start.
        spoken: the answers as tokens: what may follow a hard prompt, and must stay itself there.
    """

    size: int
    kept: Sequence[int] | None
    branches: "TokenTrie"
    starts: "TokenIds"
    spoken: "tuple[TokenIds, ...]"

    @abstractmethod
    def __call__(self, logits: "Tensor") -> "Tensor":
        """Scores of the answers.

        Args:
            logits: [..., 1 + tokens of `branches`, kept tokens]: behind the question, then behind
                each of these tokens.

        Returns:
            [..., A] float32.
        """

    @abstractmethod
    def log_probs(self, scores: "Tensor", prior: "Tensor") -> "Tensor":
        """The answers' log-probabilities [..., A]: what is decided by, and stored.

        Args:
            scores: [..., A].
            prior: [..., A], what calibration takes off; 0 for nothing.
        """

    @abstractmethod
    def prior(self, log_probs: "Tensor") -> tuple[float, ...]:
        """[A], what a prompt leans to: from its log-probabilities [B, A] of texts that ask for
        nothing."""

    @abstractmethod
    def losses(self, scores: "Tensor", expected: "Tensor") -> "Tensor":
        """[N, B], what training makes small, in nats.

        Args:
            scores: [N, B, A]; gradients flow to them.
            expected: [B], what is right.
        """

    @abstractmethod
    def surprise(self, log_probs: "Tensor", expected: "Tensor") -> "Tensor":
        """[..., B], the loss of log-probabilities [..., B, A]."""

    @abstractmethod
    def loss(self, log_probs: "Tensor", expected: "Tensor") -> float:
        """The mean of `surprise` over B texts, of log-probabilities [B, A]."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """What an export's own loader needs to score the answers, as plain values."""

    def beside(self, others: "Sequence[Readout]") -> "Readout | None":
        """One readout for these answers and those of others, in this order, in one pass; None where
        that cannot be."""
        return None


class Answers(ABC):
    """One kind of answers in one wording.

    Attributes:
        wording: as it is written.
        names: of the A answers, as the data and people call them.
    """

    names: tuple[str, ...]

    def __init__(self, wording: Wording) -> None:
        self.wording = wording

    @abstractmethod
    def seated(self, question: "Question", family: "Family") -> Readout:
        """The answers behind a question, on its model.

        Raises:
            ConfigError: the model's tokenizer cannot tell them apart, or from the question.
        """

    @abstractmethod
    def decided(self, log_probs: Floats) -> NDArray[np.intp]:
        """The answer to each text: [..., B, A] to [..., B]."""

    @abstractmethod
    def voted(self, log_probs: Floats, weights: Sequence[float] | None = None) -> Ballot:
        """The answer that N members choose for each of B texts.

        Args:
            log_probs: [N, B, A].
            weights: [N], of each member's vote; 1 where none are given.
        """

    @abstractmethod
    def mixed(self, log_probs: Floats, weights: Sequence[float] | None = None) -> Floats:
        """[B, A], the probabilities that N members give together; as `voted` takes them."""

    @abstractmethod
    def packed(self, log_probs: Floats) -> bytes:
        """Predictions [B, A] as the store keeps them: no pickle."""

    @abstractmethod
    def unpacked(self, content: bytes) -> Floats:
        """The inverse of `packed`."""
