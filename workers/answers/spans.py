"""Spans of a text, each with a label: entities, written out behind the text as words (as TANL and
others do; Paolini et al. 2021).

An answer reads `person: Ada Lovelace; place: London`, or `none`. What it names is looked for in the
text: a name that is written again is its next place there, spans may lie within one another, and a
name that the text does not have is nowhere, and wrong.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from autoprompt.workers.answers.answers import Right
from autoprompt.workers.answers.free_text import FreeText
from autoprompt.workers.rows import Text
from autoprompt.workers.spans import entries, spans_in
from autoprompt.workers.wording import Wording

_NONE, _BETWEEN = "none", "; "

#: A span as it is judged: its label, its words, and which of the places of these words that are
#: named it is, counted from 1.
Named = tuple[str, str, int]


class Spans(FreeText):
    """Labelled parts of a text. Members vote span by span."""

    template: ClassVar[str] = "{text}\nEntities:"
    metric: ClassVar[str] = "entity_f1"
    needs: ClassVar[frozenset[str]] = frozenset({"spans"})

    def __init__(self, wording: Wording) -> None:
        super().__init__(wording)
        self._words = {label: words[0].strip() for label, words in wording.label_words.items()}
        self._labels = {word.casefold(): label for label, word in self._words.items()}

    @staticmethod
    def labels_in(cell: Any) -> Sequence[str]:
        """Of spans, or of tags."""
        if isinstance(cell, list) and all(isinstance(tag, str) for tag in cell):
            return [label for _, _, label in (tag.partition("-") for tag in cell) if label]
        return [str(entry.get("label")) for entry in entries(cell)]

    def read(self, cell: Any, text: Text) -> Right:
        """Spans as they are judged.

        Raises:
            ValueError: the cell holds none, one lies outside the text, or has a label without a
                word.
        """
        written, counts = self._text(text), Counter[str]()
        found: list[Named] = []
        for start, end, label in spans_in(cell, written):
            if label not in self._words:
                raise ValueError(
                    f"has the label {label!r}, which has no word in task.label_words; that has "
                    f"{', '.join(self._words)}"
                )
            words = written.strip()[start:end]
            counts[words] += 1
            found.append((label, words, counts[words]))
        return tuple(found)

    def spoken(self, right: Right, text: Text | None = None) -> str:
        said = [f"{self._words[label]}: {words}" for label, words, _ in right]
        return _BETWEEN.join(said) or _NONE

    def understood(self, written: str) -> tuple[Named, ...]:
        """What was written, as spans; what names no label is left out."""
        counts, found = Counter[str](), []
        for part in written.split(_BETWEEN.strip()):
            word, colon, words = part.partition(":")
            label = self._labels.get(word.strip().casefold())
            if colon and label is not None and words.strip():
                counts[words.strip()] += 1
                found.append((label, words.strip(), counts[words.strip()]))
        return tuple(found)

    def told(self, decision: Any, text: Text | None = None) -> Any:
        """Of each span its label, its words, and where these stand in the text; no place where the
        text does not have them so often."""
        written = "" if text is None else self._text(text)
        found = []
        for label, words, number in decision:
            places = [match.start() for match in re.finditer(re.escape(words), written)]
            start = places[number - 1] if number <= len(places) else None
            end = None if start is None else start + len(words)
            found.append({"label": label, "text": words, "start": start, "end": end})
        return found

    def written(self, decision: Any) -> str:
        return self.spoken(decision)

    def rightly(self, right: Any) -> str:
        return self.spoken(right)

    def key(self, decision: Any) -> Any:
        return frozenset(map(tuple, decision))

    def likeness(self, one: Any, other: Any) -> float:
        """F1 of their spans."""
        mine, theirs = self.key(one), self.key(other)
        return 2 * len(mine & theirs) / (len(mine) + len(theirs)) if mine or theirs else 1.0

    def _chosen(self, decisions: Sequence[Any], heads: Sequence[float]) -> Any:
        """The spans that more than half of the votes are for."""
        votes: dict[Named, float] = {}
        for decision, weight in zip(decisions, heads, strict=True):
            for span in decision:
                votes[span] = votes.get(span, 0.0) + weight
        return tuple(span for span, weight in votes.items() if weight > sum(heads) / 2)

    def correct(self, decisions: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        """Whether all spans of a text are right, and no other is named."""
        return self.same(decisions, right)

    def _text(self, text: Text) -> str:
        """What spans are of: the column that templates call {text}, or the first one."""
        if isinstance(text, str):
            return text
        columns = self.wording.columns or ()
        return text["text" if "text" in columns else columns[0]]
