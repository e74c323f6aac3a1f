"""What every kind of answers must say: what is right, what is scored, the loss, the decision, how
members vote.

`Answers` know their wording and neither model nor torch: they say what stored predictions mean. A
`Readout` is the same answers behind a question on one model: what is asked of its logits, and
what is learned from them. **A** is how many numbers are said of each text: log-probabilities of the
labels, where words stand for labels.

A **right answer** (`Right`) is what a cell of the data says, as a value that can be compared and
hashed: the place of a label, a number on a scale. **Decisions** are answers in the same terms, as
numpy arrays [B], or [B, L] where each of L labels is decided for itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from autoprompt.workers.blocks import FIRST
from autoprompt.workers.columns import name_of
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats, Vote
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from torch import Tensor

    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question
    from autoprompt.workers.text_states import TokenIds
    from autoprompt.workers.token_trie import TokenTrie


#: A right answer, as `Answers.read` makes it of a cell.
Right = Any


class Readout(ABC):
    """Answers seen through one model's tokenizer, behind one question.

    Attributes:
        size: A.
        kept: the tokens whose logits are asked of the model; None for all of the vocabulary.
        branches: what the model must read behind the question to be asked for more than one token,
            an empty trie where it is asked for one.
        continued: whether answers differ from text to text, and each is read behind its own
            question (see `ContinuedReadout`).
        starts: tokens that stand for the answers, from which a soft prompt may start.
        spoken: the answers as tokens: what may follow a hard prompt, and must stay itself there.
        has_thresholds: whether a prompt's prior is what answers are told apart by, and fitted to
            labelled texts (`thresholds`).
    """

    size: int
    kept: Sequence[int] | None
    branches: "TokenTrie"
    continued: ClassVar[bool] = False
    starts: "TokenIds"
    spoken: "tuple[TokenIds, ...]"
    has_thresholds: ClassVar[bool] = False

    @property
    def room(self) -> int:
        """Tokens that an answer may take behind a question."""
        return self.branches.depth

    @abstractmethod
    def targets(self, rights: Sequence[Right]) -> "Tensor":
        """What B texts' right answers are to `losses`: [B], or [B, ...]."""

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

    def thresholds(self, log_probs: "Tensor", expected: "Tensor") -> tuple[float, ...]:
        """[A], a prior from log-probabilities [B, A] of texts whose answers are known."""
        raise NotImplementedError

    @abstractmethod
    def losses(self, scores: "Tensor", expected: "Tensor") -> "Tensor":
        """[N, B], what training makes small, in nats.

        Args:
            scores: [N, B, A]; gradients flow to them.
            expected: [B, ...], what is right, as `targets` has it.
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
        names: of the A answers, as the data and people call them; none where answers are free.
        categorical: whether exactly one of `names` is right, and what is said of a text are their
            log-probabilities: then these are recalibrated, stacked, and abstained by.
        biased: whether the place of an answer among `names` says anything of it, so that
            recalibration has a bias for each.
        first_block: how many validation texts judge a first rung, where nothing else is said.
        template: what is asked where a configuration does not say.
        metric: what trials are judged by, likewise.
        needs: what metrics may need of it (`Metric.needs`).
        votes: how members may vote; the first is the default.
    """

    names: tuple[str, ...]
    categorical: ClassVar[bool] = False
    biased: ClassVar[bool] = True
    first_block: ClassVar[int] = FIRST
    template: ClassVar[str] = "{text}"
    metric: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    votes: ClassVar[tuple[Vote, ...]] = ("majority", "weighted")

    def __init__(self, wording: Wording) -> None:
        self.wording = wording

    @staticmethod
    def labels_in(cell: Any) -> Sequence[str]:
        """The labels that a cell of the data names, where their words are not given."""
        return [name_of(cell)]

    @abstractmethod
    def seated(self, question: "Question", family: "Family") -> Readout:
        """The answers behind a question, on its model.

        Raises:
            ConfigError: the model's tokenizer cannot tell them apart, or from the question.
        """

    @abstractmethod
    def read(self, cell: Any, text: Text) -> Right:
        """The right answer that a cell of the data says.

        Args:
            text: what the answer is to, with the white space around it.

        Raises:
            ValueError: it says none; the message says what is wrong with it, as it reads behind the
                cell: "is no number".
        """

    @property
    def strata(self) -> Sequence[str]:
        """The strata that each split must have, whether the data has them or not; empty for those
        that it has."""
        return ()

    @abstractmethod
    def stratum(self, right: Right) -> str | None:
        """What texts are balanced and divided by, by name; None for nothing."""

    def divided(self, rights: Sequence[Right]) -> list[Any]:
        """[B], what B texts are divided by, in an order: places among the strata where these are
        known."""
        places: dict[Any, int] = {name: place for place, name in enumerate(self.strata)}
        names = [self.stratum(right) for right in rights]
        return [places[name] for name in names] if places else names

    @abstractmethod
    def right(self, rights: Sequence[Right]) -> NDArray[Any]:
        """Right answers to B texts as metrics take them: [B], or [B, L]."""

    @abstractmethod
    def spoken(self, right: Right, text: Text | None = None) -> str:
        """The right answer as it is said behind a text, which may have a part in it."""

    @abstractmethod
    def told(self, decision: Any, text: Text | None = None) -> Any:
        """One text's decision as a plain value, for people and JSON; the text may say more of
        it."""

    def written(self, decision: Any) -> str:
        """One text's decision in a line."""
        return str(self.told(decision))

    def rightly(self, right: Any) -> str:
        """One text's right answer, as `right` has it, in a line."""
        return self.written(right)

    @abstractmethod
    def decided(self, said: Floats) -> NDArray[Any]:
        """The answer to each text: [..., B, A] to [..., B], or [..., B, L]."""

    @abstractmethod
    def voted(self, said: Floats, weights: Sequence[float] | None = None) -> NDArray[Any]:
        """The answer that N members choose for each of B texts, as `decided` has it.

        Args:
            said: [N, B, A].
            weights: [N], of each member's vote; 1 where none are given.
        """

    @abstractmethod
    def mixed(self, said: Floats, weights: Sequence[float] | None = None) -> Floats:
        """[B, A], the probabilities that N members give together; as `voted` takes them."""

    @property
    def size(self) -> int:
        """A."""
        return len(self.names)

    def probability(self, mixed: Floats, decisions: NDArray[Any]) -> Floats:
        """[B], how probable B decisions are, of probabilities [B, A]; no number where the kind of
        answers has none."""
        return np.full(len(decisions), np.nan)

    def by_name(self, mixed: Floats, text: Text) -> dict[str, float]:
        """One text's probabilities [A], by the answers' names."""
        return dict(zip(self.names, map(float, mixed), strict=True))

    def packed(self, said: Floats) -> bytes:
        """Predictions [B, A] as the store keeps them: no pickle."""
        return bytes(save({"log_probs": np.ascontiguousarray(said)}))

    def unpacked(self, content: bytes) -> Floats:
        """The inverse of `packed`."""
        log_probs: Floats = load(content)["log_probs"]
        return log_probs

    def tensor(self, decisions: NDArray[Any]) -> NDArray[Any]:
        """Decisions, or right answers, as an array of numbers, which the store keeps."""
        return decisions.astype(np.float32)

    def from_tensor(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `tensor`."""
        return stored

    def sound(self, said: Floats) -> bool:
        """Whether what is said of texts can be decided by: numbers, all of them."""
        return bool(np.isfinite(said).all())

    def same(self, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """[..., B], whether two decisions on a text are one."""
        return np.asarray(one == other)

    def correct(self, decisions: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
        """[..., B], whether decisions are right, as `right` has it."""
        return self.same(decisions, right)
