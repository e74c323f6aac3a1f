"""A search's YAML to begin with, from a file of labelled texts."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from autoprompt.config import SearchConfig
from autoprompt.new_files import made_whole
from autoprompt.preparation.label_names import own_word
from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data_files import column_names, read_texts

#: By which editors complete the file; it is installed with the package.
_SCHEMA = Path(__file__).parents[1] / "search.schema.json"

#: What people call such columns, the likeliest first.
_LABELS = ("label", "labels", "class", "category", "sentiment", "topic", "intent", "target", "y")
_TEXTS = ("text", "sentence", "review", "body", "content", "message", "comment", "description")

#: A column of more different values is no column of labels, unless it is named.
_MOST_LABELS = 100

#: At most so many texts for each split, and so many parts of all in ten.
_SIZES = {"test": (1000, 3), "validation": (256, 2), "train": (512, 5)}

#: A small model that anybody may have from the Hub.
DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"


def write_first_yaml(
    data: Path,
    out: Path,
    text: str | None = None,
    label: str | None = None,
    model: str | None = None,
) -> SearchConfig:
    """Write a new YAML file whose search runs as it is.

    Args:
        data: a CSV, TSV, JSON lines or Parquet file.
        text, label: the columns; without them, what their names and cells look like.
        model: a Hub id or a path.

    Raises:
        BadInputError: the file exists, the columns cannot be told, or a search would refuse the
            data; nothing is written.
    """
    with made_whole(out, "--out") as unfinished:
        columns = {name: _cells(data, name) for name in column_names(data)}
        label = _label(columns, str(data), label, text)
        text = _text(columns, str(data), text, label)
        unfinished.write_text(_first_yaml(data, out, columns, text, label, model), encoding="utf-8")
        here = f"data.path={json.dumps(str(data.absolute()))}"
        config = SearchConfig.read(unfinished, [here])
        config.splits()
    return config


def _cells(data: Path, column: str) -> list[str]:
    return [str(cell).strip() for cell in read_texts(data, {"text": column})]


def _label(
    columns: Mapping[str, Sequence[str]], source: str, given: str | None, text: str | None
) -> str:
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
            f"{source}: which column holds the labels cannot be told: {told}; name it by --label "
            f"(there are {', '.join(columns)})"
        )
    return few[0]


def _text(columns: Mapping[str, Sequence[str]], source: str, given: str | None, label: str) -> str:
    """The column of texts: the one that is called so, or the one with the longest cells."""
    if given is not None:
        return _there(columns, source, given)
    others = [name for name in columns if name != label]
    if not others:
        raise DataError(f"{source}: has no column of texts beside the labels' column {label!r}")
    return _named(others, _TEXTS) or max(
        others, key=lambda name: sum(map(len, columns[name])) / max(len(columns[name]), 1)
    )


def _there(columns: Mapping[str, Sequence[str]], source: str, name: str) -> str:
    if name not in columns:
        raise DataError(f"{source}: no column {name!r}; it has {', '.join(columns)}")
    return name


def _named(columns: Sequence[str], names: Sequence[str]) -> str | None:
    called = {column.lower(): column for column in columns}
    return next((called[name] for name in names if name in called), None)


def _first_yaml(
    data: Path,
    out: Path,
    columns: Mapping[str, Sequence[str]],
    text: str,
    label: str,
    model: str | None,
) -> str:
    names = sorted(filter(None, set(columns[label])))
    if not 2 <= len(names) <= _MOST_LABELS:
        raise DataError(
            f"{data}: column {label!r} has {len(names)} different values, and labels are 2 to "
            f"{_MOST_LABELS}: name another column by --label"
        )
    # Of equal texts a search keeps the first.
    rows = dict(zip(reversed(columns[text]), reversed(columns[label]), strict=True))
    counts = Counter(dict.fromkeys(names, 0))
    counts.update(filter(None, rows.values()))
    fewest, least = counts.most_common()[-1]
    if least < len(_SIZES):
        raise DataError(
            f"{data}: {least} texts labelled {fewest!r} are too few; train, validation and test "
            "need one each"
        )
    balanced = 2 * least * len(counts) >= len(rows)
    words = {name: own_word(name) for name in names}
    sizes = _sizes(least * len(counts) if balanced else len(rows), len(counts))
    here = out.absolute().parent
    listed = "\n".join(f"    {_scalar(name)}: {_scalar(word)}" for name, word in words.items())
    asked = json.dumps(f"{_title(text)}: {{text}}\n{_question(label, list(words))}:")
    return f"""\
# yaml-language-server: $schema={_SCHEMA.as_uri()}
# How is a frozen model best asked for the labels of the {len(rows)} different texts in {data.name}?
# Run it as it is, or change what you know better:
#
#   autoprompt search {out.name}

# A Hub id, a folder that save_pretrained wrote, or a .gguf file.
model: {_scalar(_from(here, model) if model else DEFAULT_MODEL)}

data:
  path: {_scalar(_from(here, str(data)))}
  text: {_scalar(text)}  # the column that the template calls {{text}}
  label: {_scalar(label)}
  # Prompts learn from train, trials are compared on validation, and test is opened once, at the
  # end. Numbers of texts, or fractions of all.
  sizes: {{{", ".join(f"{name}: {sizes[name]}" for name in reversed(_SIZES))}}}
  balanced: {str(balanced).lower()}  # as many texts of each label in every split

task:
  # What the model reads of each text; its answer follows. Say it as you would to a colleague.
  # Other columns stand by their names in braces.
  template: {asked}
  # Each label in the data, and the word that the model should say for it; or several, of which any
  # will do: [good, great].
  label_words:
{listed}
  label_scoring: {_scoring(list(words.values()))}  # how words of several tokens are judged
  metric: accuracy  # or macro_f1, mcc, log_loss, ...

# What may be searched: `autoprompt spaces` lists the presets, and prints one to copy.
space: quick

search:
  trials: 16
  workers: 1  # trials at a time; each worker holds the model
  seed: 0
"""


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


def _from(folder: Path, written: str) -> str:
    """A relative path as seen from a folder; another, or a Hub id, as it is."""
    path = Path(written).expanduser()
    if path.is_absolute() or not path.exists():
        return written
    return os.path.relpath(path.absolute(), folder)


def _scalar(text: str) -> str:
    """A text as YAML reads it back: plain where that may be."""
    plain = re.fullmatch(r"[\w./][\w ./-]*", text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)
