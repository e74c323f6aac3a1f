"""The user's labelled texts: read through `datasets`, checked, and split into disjoint parts."""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoprompt.workers.data_files import SPLITS, Labelled, RightAnswers, RowReader, is_file
from autoprompt.workers.data_spec import DataSpec, Paths, under
from autoprompt.workers.duplicates import distinct, normalised
from autoprompt.workers.rows import Text, as_text
from autoprompt.workers.splitting import split_rows


@dataclass(frozen=True)
class Split:
    """B texts and their right answers.

    Attributes:
        labels: where one label is right, its index among the task's.
        groups: what each text may not be parted from; empty where there are no groups.
    """

    texts: tuple[Text, ...]
    labels: tuple[Any, ...]
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def beside(self, other: "Split") -> "Split":
        """The texts of both, these first."""
        return Split(
            self.texts + other.texts, self.labels + other.labels, self.groups + other.groups
        )

    def at(self, places: Sequence[int]) -> "Split":
        """The texts at some places, in that order."""
        return Split(
            tuple(self.texts[place] for place in places),
            tuple(self.labels[place] for place in places),
            tuple(self.groups[place] for place in places) if self.groups else (),
        )

    @classmethod
    def of(cls, rows: Sequence[Labelled]) -> "Split":
        """Some rows."""
        groups = tuple(row.group for row in rows if row.group is not None)
        return cls(tuple(row.text for row in rows), tuple(row.right for row in rows), groups)

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label in order."""
        return hashlib.sha256(self._content("")).hexdigest()[:16]

    def _content(self, name: str) -> bytes:
        rows = zip(self.texts, self.labels, strict=True)
        return "".join(f"{name}\0{label}\0{as_text(text)}\0" for text, label in rows).encode()


@dataclass(frozen=True)
class Splits:
    """What a search learns from, is judged by, and is held out to the end.

    Attributes:
        notes: what was left out, and why.
    """

    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label in order."""
        content = b"".join(getattr(self, name)._content(name) for name in SPLITS)
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in SPLITS}

    @property
    def repeated(self) -> int:
        """How many train and validation texts are, but for case, white space and punctuation,
        texts of validation or test."""
        test, validation, train = (
            list(map(normalised, getattr(self, name).texts)) for name in reversed(SPLITS)
        )
        held_out, later = set(test), {*test, *validation}
        return sum(text in held_out for text in validation) + sum(text in later for text in train)


def load_splits(
    spec: DataSpec,
    answers: RightAnswers,
    base: Path,
    seed: int,
    columns: Sequence[str] = ("text",),
) -> Splits:
    """Read, check and split the data; the same seed gives the same splits.

    No text stands in two splits: of equal texts the first is kept, and one that is in a test or
    validation file is taken out of the others; likewise with groups.

    Args:
        answers: what reads the right answers, and splits are balanced by.
        base: the folder that relative paths start from.
        columns: what templates read of a row. Texts of one column are strings, others `Row`.

    Raises:
        DataError: a missing file or column, an empty text, a cell that holds no right answer, a
            split with too few texts.
    """
    paths = spec.path if isinstance(spec.path, Paths) else None
    reader = replace(spec.reader(spec.named(columns), answers), group=spec.group)
    if paths is not None:
        files = {name: getattr(paths, name) for name in SPLITS if getattr(paths, name)}
        parts = {name: reader.file(under(base, path)) for name, path in files.items()}
    elif is_file(str(spec.path)):
        parts = {"train": reader.file(under(base, str(spec.path)))}
    else:
        parts = reader.hub(str(spec.path), spec.subset)
    source = paths.train if paths else str(spec.path)
    notes = _without_repeats(parts, spec)
    rows = split_rows(parts, spec, answers, source, seed)
    return Splits(**{name: Split.of(rows[name]) for name in SPLITS}, notes=notes)


def _without_repeats(parts: dict[str, list[Labelled]], spec: DataSpec) -> tuple[str, ...]:
    """Take out of the parts what stands in them again, and tell what that was; what is held out
    stays."""
    seen: set[Hashable] = set()
    alike: set[Hashable] = set()
    groups: set[str] = set()
    repeats = parted = 0
    for name in reversed(SPLITS):
        rows = distinct(parts.get(name, []), seen)
        kept = distinct(rows, alike, normalised) if spec.duplicates == "drop" else rows
        apart = [row for row in kept if row.group not in groups]
        groups |= {row.group for row in apart if row.group is not None}
        repeats += len(rows) - len(kept)
        parted += len(kept) - len(apart)
        if name in parts:
            parts[name] = apart
    notes = []
    if repeats:
        notes.append(
            f"{repeats} texts are left out: but for case, white space and punctuation there are "
            "others like them"
        )
    if parted:
        notes.append(f"{parted} texts are left out: their {spec.group} is in a held-out file, too")
    return tuple(notes)


def read_labelled(source: str, reader: RowReader, subset: str | None = None) -> Split:
    """All labelled texts of one source, in its order; of equal texts the first.

    Args:
        source: a CSV, TSV, JSON lines or Parquet file, or a Hub id, of which the test split is
            taken, else validation, else train.
        subset: a Hub data set's configuration.

    Raises:
        DataError: a missing file or column, an empty text, a cell that holds no right answer.
    """
    if is_file(source):
        rows = reader.file(Path(source).expanduser(), source)
    else:
        rows = reader.last_split(source, subset)
    return Split.of(distinct(rows, set()))
