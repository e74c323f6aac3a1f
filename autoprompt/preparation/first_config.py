"""What a search of labelled texts is configured to begin with, by what is in their columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoprompt.preparation.label_names import own_word
from autoprompt.search_spaces.errors import DataError

#: What people call such columns, the likeliest first.
_LABELS = ("label", "labels", "class", "category", "sentiment", "topic", "intent", "target", "y")
_TEXTS = ("text", "sentence", "review", "body", "content", "message", "comment", "description")

#: A column of more different values is no column of labels, unless it is named.
_MOST_LABELS = 100

#: At most so many texts for each split, and so many parts of all in ten.
_SIZES = {"test": (1000, 3), "validation": (256, 2), "train": (512, 5)}

#: A small model that anybody may have from the Hub.
DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"

#: Trials of a first search.
TRIALS = 16

#: Cells as text, by column.
Cells = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class FirstConfig:
    """A configuration to begin with.

    Attributes:
        text, label: the columns.
        texts: how many different ones there are.
        template: what is asked of each.
        words: each label, and the word for it.
        scoring: how words of several tokens are judged.
        sizes: texts of each split.
        balanced: whether there are as many texts of each label in every split.
    """

    text: str
    label: str
    texts: int
    template: str
    words: dict[str, str]
    scoring: str
    sizes: dict[str, int]
    balanced: bool


def first_config(
    columns: Cells, source: str, text: str | None = None, label: str | None = None
) -> FirstConfig:
    """What suits labelled texts.

    Args:
        columns: the cells, stripped.
        source: what errors call them.
        text, label: the columns; without them, what their names and cells look like.

    Raises:
        DataError: the columns cannot be told, or hold no labels, or too few texts of one.
    """
    label = _label(columns, source, label, text)
    text = _text(columns, source, text, label)
    names = sorted(filter(None, set(columns[label])))
    if not 2 <= len(names) <= _MOST_LABELS:
        raise DataError(
            f"{source}: column {label!r} has {len(names)} different values, and labels are 2 to "
            f"{_MOST_LABELS}: name another column as the label"
        )
    # Of equal texts a search keeps the first.
    rows = dict(zip(reversed(columns[text]), reversed(columns[label]), strict=True))
    counts = Counter(dict.fromkeys(names, 0))
    counts.update(filter(None, rows.values()))
    fewest, least = counts.most_common()[-1]
    if least < len(_SIZES):
        raise DataError(
            f"{source}: {least} texts labelled {fewest!r} are too few; train, validation and test "
            "need one each"
        )
    balanced = 2 * least * len(counts) >= len(rows)
    words = {name: own_word(name) for name in names}
    return FirstConfig(
        text=text,
        label=label,
        texts=len(rows),
        template=f"{_title(text)}: {{text}}\n{_question(label, list(words))}:",
        words=words,
        scoring=_scoring(list(words.values())),
        sizes=_sizes(least * len(counts) if balanced else len(rows), len(counts)),
        balanced=balanced,
    )


def _label(columns: Cells, source: str, given: str | None, text: str | None) -> str:
    """The column of labels: the one that is called so, or the only one that has few values."""
    if given is not None:
        return _there(columns, source, given)
    others = [name for name in columns if name != text]
    named = _named(others, _LABELS)
    if named is not None:
        return named
    few = [
        name
        for name in others
        if 2 <= len(set(columns[name])) <= min(_MOST_LABELS, len(columns[name]) // 2)
    ]
    if len(few) != 1:
        told = f"{' or '.join(few)} may hold them" if few else "none has few values, each repeated"
        raise DataError(
            f"{source}: which column holds the labels cannot be told: {told}; name the label "
            f"(there are {', '.join(columns)})"
        )
    return few[0]


def _text(columns: Cells, source: str, given: str | None, label: str) -> str:
    """The column of texts: the one that is called so, or the one with the longest cells."""
    if given is not None:
        return _there(columns, source, given)
    others = [name for name in columns if name != label]
    if not others:
        raise DataError(f"{source}: has no column of texts beside the labels' column {label!r}")
    return _named(others, _TEXTS) or max(
        others, key=lambda name: sum(map(len, columns[name])) / max(len(columns[name]), 1)
    )


def _there(columns: Cells, source: str, name: str) -> str:
    if name not in columns:
        raise DataError(f"{source}: no column {name!r}; it has {', '.join(columns)}")
    return name


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    called = {column.lower(): column for column in columns}
    return next((called[name] for name in names if name in called), None)


def _sizes(usable: int, labels: int) -> dict[str, int]:
    """Texts of each split, in whole rounds over the labels."""
    return {
        name: max(1, min(most, usable * part // 10) // labels) * labels
        for name, (most, part) in _SIZES.items()
    }


def _scoring(words: Sequence[str]) -> str:
    """Word by word along their common tokens; but of a word that another goes on, its mean."""
    begun = any(one != other and other.startswith(one) for one in words for other in words)
    return "mean" if begun else "tree"


def _title(column: str) -> str:
    return own_word(column).capitalize()


def _question(column: str, labels: Sequence[str]) -> str:
    """What stands before the answer."""
    if {label.lower() for label in labels} <= {"positive", "negative", "neutral"}:
        return "Sentiment"
    return "Label" if column.lower() in ("labels", "class", "target", "y") else _title(column)
