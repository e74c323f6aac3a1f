"""Free text: what the model writes behind the question, up to a stop string or so many tokens."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers.answers import Answers, Readout, Right
from autoprompt.workers.metrics.texts import normalised, overlap
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats, Vote

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question

#: Characters that are kept for each token that an answer may have.
_CHARACTERS = 8


class FreeText(Answers):
    """A string. What is said of a text, [A], is the loss of its right answer, no number where that
    is not known, and what was written as code points, filled up with 0: so that everything that
    carries predictions carries texts, too.

    Members vote by the normalised answer; where several have as many heads, that one is chosen
    which is most like all of them (the medoid by token F1: minimum Bayes risk, Kumar and Byrne
    2004).
    """

    names = ()
    template: ClassVar[str] = "{text}\nAnswer:"
    first_block: ClassVar[int] = 64
    metric: ClassVar[str] = "token_f1"
    needs: ClassVar[frozenset[str]] = frozenset({"texts"})
    votes: ClassVar[tuple[Vote, ...]] = ("majority", "weighted")

    @property
    def size(self) -> int:
        return 1 + _CHARACTERS * self.wording.longest_answer

    def seated(self, question: "Question", family: "Family") -> Readout:
        # Imported here, with torch, as in `LabelWords`.
        from autoprompt.workers.answers.continued_readout import TextReadout

        if family == "masked":
            raise ConfigError(
                f"task.answers: {self.wording.answers} are written word by word, which a model "
                "that fills masks cannot do; choose a causal or a seq2seq model"
            )
        return TextReadout(question, self)

    def read(self, cell: Any, text: Text) -> Right:
        """The answers that are right: a string, several in a list, or as SQuAD has them.

        Raises:
            ValueError: there are none, or one does not stand where it should.
        """
        if isinstance(cell, dict):
            cell = cell.get("text")
        given = cell if isinstance(cell, (list, tuple)) else [cell]
        found = tuple(str(each).strip() for each in given if each is not None)
        if not found or not all(found):
            raise ValueError("is an empty answer")
        column = self.wording.extractive
        if column is not None:
            context = text if isinstance(text, str) else text[column]
            if not all(each in context for each in found):
                raise ValueError(f"does not stand in its {column}")
        return found

    def stratum(self, right: Right) -> str | None:
        return None

    def right(self, rights: Sequence[Right]) -> NDArray[Any]:
        """[B], tuples of what is right."""
        return _objects([tuple(right) for right in rights])

    def spoken(self, right: Right, text: Text | None = None) -> str:
        """The first of the right answers."""
        return str(right[0])

    def told(self, decision: Any, text: Text | None = None) -> Any:
        return str(decision)

    def rightly(self, right: Any) -> str:
        return " / ".join(right)

    def decided(self, said: Floats) -> NDArray[Any]:
        """[..., B], what was written."""
        written = texts_of(said)
        found = np.empty(written.shape, dtype=object)
        for at in np.ndindex(found.shape):
            found[at] = self.understood(str(written[at]))
        return found

    def understood(self, written: str) -> Any:
        """What was written, as a decision."""
        return written

    def voted(self, said: Floats, weights: Sequence[float] | None = None) -> NDArray[Any]:
        decisions = self.decided(said)
        heads = [1.0] * len(decisions) if weights is None else list(weights)
        return _objects([self._chosen(list(own), heads) for own in decisions.T])

    def _chosen(self, decisions: Sequence[Any], heads: Sequence[float]) -> Any:
        """The answer to one text, of N."""
        keys = [self.key(decision) for decision in decisions]
        votes: Counter[Any] = Counter()
        for key, weight in zip(keys, heads, strict=True):
            votes[key] += weight  # type: ignore[assignment]
        most = max(votes.values())
        first = [place for place, key in enumerate(keys) if votes[key] > most - 1e-9]
        likeness = [
            sum(
                weight * self.likeness(decisions[place], other)
                for other, weight in zip(decisions, heads, strict=True)
            )
            for place in first
        ]
        return decisions[first[int(np.argmax(likeness))]]

    def key(self, decision: Any) -> Any:
        """Equal for decisions that say the same."""
        return normalised(decision)

    def likeness(self, one: Any, other: Any) -> float:
        """How alike two decisions are, 0 to 1."""
        return overlap(normalised(one), normalised(other))

    def mixed(self, said: Floats, weights: Sequence[float] | None = None) -> Floats:
        """[B, 0]: free text has no probabilities."""
        return np.empty((said.shape[1], 0))

    def packed(self, said: Floats) -> bytes:
        """JSON: the losses, and the texts."""
        losses = [None if np.isnan(loss) else float(loss) for loss in said[:, 0]]
        return json.dumps({"losses": losses, "texts": texts_of(said).tolist()}).encode()

    def unpacked(self, content: bytes) -> Floats:
        stored = json.loads(content)
        found = np.zeros((len(stored["texts"]), self.size), dtype=np.float32)
        found[:, 0] = [np.nan if loss is None else loss for loss in stored["losses"]]
        for row, text in zip(found, stored["texts"], strict=True):
            row[1:] = coded(text, self.size - 1)
        return found

    def tensor(self, decisions: NDArray[Any]) -> NDArray[Any]:
        stacked = decisions.ndim > 1
        rows = decisions.tolist() if stacked else [decisions.tolist()]
        return np.frombuffer(json.dumps({"stacked": stacked, "rows": rows}).encode(), np.uint8)

    def from_tensor(self, stored: NDArray[Any]) -> NDArray[Any]:
        content = json.loads(stored.tobytes())
        rows = [_objects(row) for row in content["rows"]]
        return np.stack(rows) if content["stacked"] else rows[0]

    def sound(self, said: Floats) -> bool:
        """The losses aside, which are not known of texts without a right answer."""
        return super().sound(said[..., 1:])

    def same(self, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether two answers are one, articles, case and punctuation aside."""
        alike = np.frompyfunc(lambda a, b: self.key(a) == self.key(b), 2, 1)
        return np.asarray(alike(one, other), bool)

    def correct(self, decisions: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether an answer is one of the right ones, likewise."""
        one_of = np.frompyfunc(lambda a, b: self.key(a) in map(self.key, b), 2, 1)
        return np.asarray(one_of(decisions, right), bool)


def texts_of(said: Floats) -> NDArray[Any]:
    """[..., B], the texts of what is said, [..., B, A]."""
    rows = np.asarray(said[..., 1:]).astype(np.int64)
    found = np.empty(rows.shape[:-1], dtype=object)
    for at in np.ndindex(found.shape):
        found[at] = "".join(chr(code) for code in rows[at] if code > 0)
    return found


def coded(text: str, room: int) -> list[int]:
    """A text as so many code points; the end of a longer one is cut off."""
    codes = [ord(character) for character in text[:room]]
    return codes + [0] * (room - len(codes))


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    """[B], of values that may be sequences themselves; of lists, as JSON has them, tuples."""
    found = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        found[place] = _hashable(value)
    return found


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
