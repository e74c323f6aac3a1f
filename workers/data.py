"""The user's labelled texts: read through `datasets`, checked, and split into disjoint parts."""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data_files import SPLITS, Labelled, RowReader, is_file
from autoprompt.workers.rows import Text, as_text

Size = int | float


class Sizes(Document):
    """How many texts each split takes: a number, or a fraction of all."""

    #: For prompts to learn from: a number of texts, or a fraction of all.
    train: Size = 0.6
    #: For trials to be compared on.
    validation: Size = 0.2
    #: For the result to be scored on, once.
    test: Size = 0.2

    @field_validator("*")
    @classmethod
    def _positive(cls, value: Size) -> Size:
        if value <= 0 or (isinstance(value, float) and value >= 1):
            raise ValueError(f"a number of texts from 1 up, or a fraction between 0 and 1: {value}")
        return value


class Paths(Document):
    """A file for each split; what is not given is cut from train."""

    #: The texts that prompts learn from.
    train: str
    #: Those that trials are compared on.
    validation: str | None = None
    #: Those that the result is scored on, once.
    test: str | None = None


class DataSpec(Document):
    """Where the labelled texts are."""

    #: A CSV, TSV, JSON (lines) or Parquet file, a file for each split, or a Hub id.
    path: str | Paths
    #: The Hub data set's configuration, where it has several.
    subset: str | None = None
    #: The column that a template calls {text}; others it calls by their own names.
    text: str = "text"
    #: The column of the right labels.
    label: str = "label"
    #: How many texts each split takes.
    sizes: Sizes = Field(default_factory=Sizes)
    #: As many texts of each label in every split that is cut here.
    balanced: bool = True

    def named(self, columns: Sequence[str]) -> dict[str, str]:
        """A template's columns, and what they are called in the data."""
        return {column: self.text if column == "text" else column for column in columns}

    def under(self, base: Path) -> "DataSpec":
        """The same with its files' paths made absolute; a Hub id stays as it is."""

        def absolute(path: str) -> str:
            return str(_under(base, path).absolute()) if is_file(path) else path

        if isinstance(self.path, str):
            return self.model_copy(update={"path": absolute(self.path)})
        given = {name: path for name, path in self.path.model_dump().items() if path}
        files = {name: str(_under(base, path).absolute()) for name, path in given.items()}
        return self.model_copy(update={"path": self.path.model_copy(update=files)})


@dataclass(frozen=True)
class Split:
    """B texts and their labels, as indices into the task's labels."""

    texts: tuple[Text, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def beside(self, other: "Split") -> "Split":
        """The texts of both, these first."""
        return Split(self.texts + other.texts, self.labels + other.labels)

    def at(self, places: Sequence[int]) -> "Split":
        """The texts at some places, in that order."""
        return Split(
            tuple(self.texts[place] for place in places),
            tuple(self.labels[place] for place in places),
        )

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label in order."""
        return hashlib.sha256(self._content("")).hexdigest()[:16]

    def _content(self, name: str) -> bytes:
        rows = zip(self.texts, self.labels, strict=True)
        return "".join(f"{name}\0{label}\0{as_text(text)}\0" for text, label in rows).encode()


@dataclass(frozen=True)
class Splits:
    """What a search learns from, is judged by, and is held out to the end."""

    train: Split
    validation: Split
    test: Split

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label in order."""
        content = b"".join(getattr(self, name)._content(name) for name in SPLITS)
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in SPLITS}


def load_splits(
    spec: DataSpec,
    labels: Sequence[str],
    base: Path,
    seed: int,
    columns: Sequence[str] = ("text",),
) -> Splits:
    """Read, check and split the data; the same seed gives the same splits.

    No text stands in two splits: of equal texts the first is kept, and one that is in a test or
    validation file is taken out of the others.

    Args:
        labels: the labels that have a word; a row's label is its index here.
        base: the folder that relative paths start from.
        columns: what templates read of a row. Texts of one column are strings, others `Row`.

    Raises:
        DataError: a missing file or column, an empty text, a label without a word, a split with
            too few texts.
    """
    paths = spec.path if isinstance(spec.path, Paths) else None
    reader = RowReader(spec.named(columns), spec.label, labels)
    if paths is not None:
        files = {name: getattr(paths, name) for name in SPLITS if getattr(paths, name)}
        parts = {name: reader.file(_under(base, path)) for name, path in files.items()}
    elif is_file(str(spec.path)):
        parts = {"train": reader.file(_under(base, str(spec.path)))}
    else:
        parts = reader.hub(str(spec.path), spec.subset)
    source = paths.train if paths else str(spec.path)
    seen: set[Text] = set()
    for name in reversed(SPLITS):
        if name in parts:
            parts[name] = _distinct(parts[name], seen)
    return _split(parts, spec, labels, source, random.Random(seed))


def _under(base: Path, path: str) -> Path:
    return base / Path(path).expanduser()


def read_labelled(source: str, reader: RowReader, subset: str | None = None) -> Split:
    """All labelled texts of one source, in its order; of equal texts the first.

    Args:
        source: a CSV, TSV, JSON lines or Parquet file, or a Hub id, of which the test split is
            taken, else validation, else train.
        subset: a Hub data set's configuration.

    Raises:
        DataError: a missing file or column, an empty text, a label that is none of the reader's.
    """
    if is_file(source):
        rows = reader.file(Path(source).expanduser(), source)
    else:
        rows = reader.last_split(source, subset)
    texts, numbers = zip(*_distinct(rows, set()), strict=True)
    return Split(texts, numbers)


def _distinct(rows: list[Labelled], seen: set[Text]) -> list[Labelled]:
    kept = []
    for row in rows:
        if row[0] not in seen:
            seen.add(row[0])
            kept.append(row)
    return kept


def _split(
    parts: dict[str, list[Labelled]],
    spec: DataSpec,
    labels: Sequence[str],
    source: str,
    rng: random.Random,
) -> Splits:
    for name in SPLITS:
        rng.shuffle(parts.get(name, []))
    pool = parts["train"]
    total = _usable(pool, labels, spec.balanced)
    splits: dict[str, Split] = {}
    # Held-out splits are filled first, so that changing the size of train never moves a text
    # into or out of them.
    for name in reversed(SPLITS):
        given = name in parts and name != "train"
        rows = parts[name] if given else pool
        size = getattr(spec.sizes, name)
        explicit = name in spec.sizes.model_fields_set
        if given and not explicit:
            wanted = len(rows)
        elif isinstance(size, float):
            usable = _usable(rows, labels, spec.balanced) if given else total
            # Whole rounds over the labels, so that no label runs short by one.
            wanted = int(size * usable) // len(labels) * len(labels)
        else:
            wanted = size
        balanced = spec.balanced and not (given and not explicit)
        taken = _take(rows, wanted, labels, balanced, f"{source}: {name}")
        chosen = set(taken)
        if not given:
            pool = [row for row in pool if row not in chosen]
        splits[name] = Split(tuple(text for text, _ in taken), tuple(label for _, label in taken))
    return Splits(**splits)


def _usable(rows: list[Labelled], labels: Sequence[str], balanced: bool) -> int:
    """How many rows can be used where each label must have as many as the others."""
    if not balanced:
        return len(rows)
    counts = Counter(label for _, label in rows)
    return min(counts[label] for label in range(len(labels))) * len(labels)


def _take(
    rows: list[Labelled], wanted: int, labels: Sequence[str], balanced: bool, what: str
) -> list[Labelled]:
    if wanted < 1:
        raise DataError(f"{what}: the split is empty; give data.sizes more texts")
    if not balanced:
        if len(rows) < wanted:
            raise DataError(f"{what}: {wanted} texts asked for, {len(rows)} left; lower data.sizes")
        return rows[:wanted]
    taken: list[Labelled] = []
    for label, name in enumerate(labels):
        share = wanted // len(labels) + (label < wanted % len(labels))
        own = [row for row in rows if row[1] == label]
        if len(own) < share:
            raise DataError(
                f"{what}: {share} texts labelled {name!r} asked for, {len(own)} left; "
                "lower data.sizes or set data.balanced to false"
            )
        taken += own[:share]
    order = {row: place for place, row in enumerate(rows)}
    return sorted(taken, key=order.__getitem__)
