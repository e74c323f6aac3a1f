"""Texts that stand in the data more than once."""

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable

from autoprompt.workers.data_files import Labelled
from autoprompt.workers.rows import Text, as_text


def distinct(
    rows: Iterable[Labelled],
    seen: set[Hashable],
    key: Callable[[Text], Hashable] = lambda text: text,
) -> list[Labelled]:
    """Of rows whose texts have the same key the first, unless it was seen already.

    Args:
        seen: takes on what is kept.
    """
    kept = []
    for row in rows:
        own = key(row.text)
        if own not in seen:
            seen.add(own)
            kept.append(row)
    return kept


def normalised(text: Text) -> str:
    """A text without case, punctuation and doubled white space; one of punctuation alone as it
    is, as faces differ by it."""
    whole = as_text(text).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", _unless_punctuation, whole).split()) or whole


def _unless_punctuation(match: re.Match[str]) -> str:
    # Neither a sign nor a vowel mark of Hindi is a word character, and both tell texts apart.
    return "" if unicodedata.category(match[0]).startswith("P") else match[0]
