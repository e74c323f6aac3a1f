"""Label words: a label is as probable as the words that stand for it (PET, Schick and Schütze 2021;
LM-BFF, Gao et al. 2021)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers.answers import Readout, Right
from autoprompt.workers.answers.categorical import Categorical
from autoprompt.workers.columns import name_of
from autoprompt.workers.question import SOME_TEXT, ids_behind
from autoprompt.workers.rows import Text
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question
    from autoprompt.workers.text_states import TokenIds


class _Given(NamedTuple):
    """A label's word as it was given, and all its tokens."""

    label: str
    text: str
    ids: "TokenIds"

    def __str__(self) -> str:
        return f"{self.text!r} ({self.label})"


class LabelWords(Categorical):
    """One of L labels."""

    def __init__(self, wording: Wording) -> None:
        super().__init__(wording)
        self.names = tuple(wording.label_words)

    def seated(self, question: "Question", family: "Family") -> Readout:
        """The label words' tokens behind what stands before them.

        Words of two labels must differ: in their first token where that one is judged, else in
        any. A word that goes on where another label's ends is a word of its own with `sum` and
        `mean`. With `tree` the two are refused: which token would stand for the end of the shorter
        one, against those that go on, is nothing that a tokenizer knows. Words of one label may be
        so, as they count together.

        Raises:
            ConfigError: words of two labels cannot be told apart, or a word cannot be told from
                what stands before it.
        """
        # Imported here, with torch, which those who read stored predictions do without.
        from autoprompt.workers.answers.word_readout import Word, WordReadout

        spec, before = self.wording, question.before
        first_only = spec.label_scoring == "first_token"
        seen: dict[tuple[int, ...], _Given] = {}
        words = []
        for label, (name, given) in enumerate(spec.label_words.items()):
            for text in given:
                ids = ids_behind(before, question.joint + text.strip(), question.tokenizer)
                if not ids:
                    raise ConfigError(
                        f"task.label_words.{name}: {text!r} merges with the end of the template "
                        f"{before.removeprefix(SOME_TEXT)!r} when tokenized; end the template "
                        "with a colon or another word"
                    )
                if family == "masked" and len(ids) > 1:
                    raise ConfigError(
                        f"task.label_words.{name}: {text!r} is {len(ids)} tokens to this model, "
                        "which fills a mask with one; choose words of one token"
                    )
                own = ids[:1] if first_only else ids
                if own not in seen:
                    seen[own] = _Given(name, text, ids)
                    words.append(Word(label, own))
                theirs = seen[own]
                if theirs.label != name:
                    raise ConfigError(_alike(theirs, _Given(name, text, ids), question))
        if spec.label_scoring == "tree":
            _refuse_beginnings(seen)
        return WordReadout(self.names, words, spec.label_scoring)

    def read(self, cell: Any, text: Text) -> Right:
        """The label's place.

        Raises:
            ValueError: it has no word.
        """
        try:
            return self.names.index(name_of(cell))
        except ValueError:
            raise ValueError(
                f"has no word in task.label_words, which has {', '.join(self.names)}"
            ) from None

    def spoken(self, right: Right, text: Text | None = None) -> str:
        """The label's first word."""
        return self.wording.label_words[self.names[int(right)]][0].strip()


def _alike(one: _Given, other: _Given, question: "Question") -> str:
    """What is wrong with words of two labels that are the same as far as they are judged."""
    pair = f"task.label_words: {one} and {other}"
    if one.ids == other.ids:
        return f"{pair} are the same tokens to this model; choose other words"
    token = question.tokenizer.decode([one.ids[0]])
    shorter, longer = sorted((one.ids, other.ids), key=len)
    scoring = "mean" if longer[: len(shorter)] == shorter else "tree"
    return (
        f"{pair} begin with the same token {token!r}; choose other words, or set "
        f"task.label_scoring to {scoring}"
    )


def _refuse_beginnings(words: Mapping["TokenIds", _Given]) -> None:
    """Refuse words of which another label's is the beginning.

    Raises:
        ConfigError: there are such.
    """
    for longer in words.values():
        for end in range(1, len(longer.ids)):
            shorter = words.get(longer.ids[:end])
            if shorter is not None and shorter.label != longer.label:
                raise ConfigError(
                    f"task.label_words: {longer} goes on where {shorter} ends, and no token tells "
                    "that a word ends; choose other words, or set task.label_scoring to mean"
                )
