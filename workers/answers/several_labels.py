"""Several labels a text, or none: each is asked by itself, a question of yes or no behind the
question that they share (as binary relevance, Tsoumakas and Katakis 2007)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers.answers import Answers, Readout, Right
from autoprompt.workers.question import ids_behind
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats, Vote, mean_probabilities
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question
    from autoprompt.workers.text_states import TokenIds

#: What parts labels in a cell of the data.
_SEPARATORS = (";", "|", ",")


class SeveralLabels(Answers):
    """Any of L labels; members vote label by label, a tie goes to the larger summed
    log-probability."""

    template: ClassVar[str] = "{text}\nTopics."
    metric: ClassVar[str] = "multilabel_micro_f1"
    needs: ClassVar[frozenset[str]] = frozenset({"sets"})
    votes: ClassVar[tuple[Vote, ...]] = ("majority", "weighted", "mean")

    def __init__(self, wording: Wording) -> None:
        super().__init__(wording)
        self.names = tuple(wording.label_words)

    @staticmethod
    def labels_in(cell: Any) -> Sequence[str]:
        """Of a list, or parted by ; | or a comma."""
        if not isinstance(cell, str):
            return [str(name).strip() for name in cell or ()]
        separator = next((each for each in _SEPARATORS if each in cell), None)
        names = cell.split(separator) if separator else [cell]
        return [name.strip() for name in names if name.strip()]

    def seated(self, question: "Question", family: "Family") -> Readout:
        """Each label's own question behind the shared one, and behind it yes and no.

        Raises:
            ConfigError: yes and no begin with one token, a label's question merges with what stands
                before it, or the model fills masks, one at a time.
        """
        # Imported here, with torch, as in `LabelWords`.
        from autoprompt.workers.answers.yes_no_readout import YesNoReadout

        if family == "masked":
            raise ConfigError(
                "task.answers: several labels are asked one behind another, which a model that "
                "fills masks cannot do; choose a causal or a seq2seq model"
            )
        wording, tokenizer = self.wording, question.tokenizer
        asked: list[TokenIds] = []
        kept: list[int] = []
        for name, words in wording.label_words.items():
            own = wording.label_question.replace("{label}", words[0].strip())
            ids = ids_behind(question.before, own, tokenizer)
            if not ids:
                raise ConfigError(
                    f"task.label_question: {own!r} ({name}) merges with the end of the template "
                    "when tokenized; begin it with a line's end or a word"
                )
            asked.append(ids)
            firsts = [
                ids_behind(question.before + own, f" {word}", tokenizer) for word in wording.yes_no
            ]
            if not all(firsts) or firsts[0][0] == firsts[1][0]:  # type: ignore[index]
                raise ConfigError(
                    f"task.yes_no: {wording.yes_no[0]!r} and {wording.yes_no[1]!r} begin alike, or "
                    f"merge with what stands before them, {own!r}; choose other words"
                )
            kept += [first[0] for first in firsts if first]
        return YesNoReadout(self.names, asked, list(zip(kept[::2], kept[1::2], strict=True)))

    def read(self, cell: Any, text: Text) -> Right:
        """The labels' places, rising: of a list, or of names parted by ; | or a comma.

        Raises:
            ValueError: one of them has no word.
        """
        found = set()
        for name in self.labels_in(cell):
            if name not in self.names:
                raise ValueError(
                    f"names {name!r}, which has no word in task.label_words; that has "
                    f"{', '.join(self.names)}"
                )
            found.add(self.names.index(name))
        return tuple(sorted(found))

    def stratum(self, right: Right) -> str | None:
        """None: texts with the same set of labels may be few."""
        return None

    def right(self, rights: Sequence[Right]) -> NDArray[Any]:
        """[B, L], 1 for a text's own labels."""
        found = np.zeros((len(rights), len(self.names)), dtype=np.intp)
        for row, own in zip(found, rights, strict=True):
            row[list(own)] = 1
        return found

    def spoken(self, right: Right, text: Text | None = None) -> str:
        """The labels' names, as one line."""
        return ", ".join(self.names[place] for place in right) or "none"

    def told(self, decision: Any, text: Text | None = None) -> Any:
        return [self.names[place] for place in np.flatnonzero(decision).tolist()]

    def written(self, decision: Any) -> str:
        return ", ".join(self.told(decision)) or "none"

    def decided(self, said: Floats) -> NDArray[Any]:
        """[..., B, L], 1 where a label is more probable than not."""
        return (said > np.log(0.5)).astype(np.intp)

    def voted(self, said: Floats, weights: Sequence[float] | None = None) -> NDArray[Any]:
        yes = np.average(self.decided(said), axis=0, weights=weights)
        surer = said.sum(axis=0) > np.log1p(-np.exp(np.minimum(said, -1e-12))).sum(axis=0)
        return np.where(np.isclose(yes, 0.5), surer, yes > 0.5).astype(np.intp)

    def mixed(self, said: Floats, weights: Sequence[float] | None = None) -> Floats:
        """[B, L], the weighted mean of each label's probability."""
        return mean_probabilities(said, weights)

    def probability(self, mixed: Floats, decisions: NDArray[Any]) -> Floats:
        """[B], of all its labels being so, each by itself."""
        return np.where(decisions == 1, mixed, 1 - mixed).prod(axis=-1)

    def tensor(self, decisions: NDArray[Any]) -> NDArray[Any]:
        return decisions.astype(np.uint8)

    def from_tensor(self, stored: NDArray[Any]) -> NDArray[Any]:
        return stored.astype(np.intp)

    def same(self, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether all labels are."""
        return np.asarray((one == other).all(axis=-1))
