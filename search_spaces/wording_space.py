"""What of the question itself may be searched: templates, label words, demonstrations."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from autoprompt.search_spaces.dimensions import Amounts, Categorical
from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.pieces import PIECES

#: How demonstrations are chosen among the train texts, as many of each label as may be: at random,
#: or those whose hidden states are nearest to the mean of their label's.
Choosing = Literal["random", "central"]

#: Words for each label.
LabelWords = dict[str, tuple[str, ...]]

#: A word, as YAML has it.
Word = str | int | float | bool
#: Label words as YAML has them: of a label a word, or several.
WrittenLabelWords = dict[str, Word | list[Word]]

#: What stands behind the columns of a built-in template; before them is the task's own beginning,
#: so that texts are encoded once for all of them.
BUILT_IN_TAILS = (
    "\nAnswer:",
    "\nLabel:",
    "\nIn one word:",
    "\nIn short, it is",
    "\nAll in all, it was",
    "\nThis is about",
    "\nQuestion: What is this?\nAnswer:",
)


def label_words_of(value: Any) -> Any:
    """Label words as YAML has them, each label's in a tuple; what is no mapping, as it is."""
    if not isinstance(value, Mapping):
        return value
    return {
        str(label): tuple(map(str, words)) if isinstance(words, (list, tuple)) else (str(words),)
        for label, words in value.items()
    }


def written(words: Mapping[str, tuple[str, ...]]) -> str:
    """Label words in short, as a trial's settings show them."""
    return " | ".join(f"{label}: {', '.join(own)}" for label, own in words.items())


class Proposals(Document):
    """Label words proposed by the frozen model itself, from the train texts (LM-BFF, Gao et al.
    2021)."""

    #: How many sets of words trials choose from beside the task's own, the best first.
    propose: Annotated[int, Field(ge=1)]
    #: Words looked at for each label; for two labels all pairs of them are scored.
    candidates: Annotated[int, Field(ge=2)] = 100
    #: At most so many words stand for a label.
    words: Annotated[int, Field(ge=1)] = 5
    #: The task's own words and what was proposed, for each template, once the search has begun.
    found: dict[str, tuple[LabelWords, ...]] = Field(default_factory=dict)


class DemonstrationSpace(Document):
    """Labelled train texts that are shown before each text (in-context learning)."""

    #: How many; 0 for none.
    count: Amounts
    #: Which: at random, or those nearest to the mean of their label's.
    choose: Categorical[Choosing] = "random"


def kinds_of(template: str) -> frozenset[str]:
    """The kinds of prompts whose pieces a template has places for; empty where it has none, and
    every kind stands where its own part of the space says."""
    named = {piece for piece in PIECES if piece in template}
    return {
        frozenset(): frozenset[str](),
        frozenset({"{hard}"}): frozenset({"hard"}),
        frozenset({"{soft}"}): frozenset({"soft"}),
        frozenset({"{kv}"}): frozenset({"kv"}),
        frozenset({"{hard}", "{soft}"}): frozenset({"mixed"}),
    }[frozenset(named)]
