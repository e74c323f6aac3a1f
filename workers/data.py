"""The user's labelled texts: read through `datasets`, checked, and split into disjoint parts."""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.errors import DataError

_FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
_SPLITS = ("train", "validation", "test")

Size = int | float


class Sizes(Document):
    """How many texts each split takes: a number, or a fraction of all."""

    train: Size = 0.6
    validation: Size = 0.2
    test: Size = 0.2

    @field_validator("*")
    @classmethod
    def _positive(cls, value: Size) -> Size:
        if value <= 0 or (isinstance(value, float) and value >= 1):
            raise ValueError(f"a number of texts from 1 up, or a fraction between 0 and 1: {value}")
        return value


class Paths(Document):
    """A file for each split; what is not given is cut from train."""

    train: str
    validation: str | None = None
    test: str | None = None


class DataSpec(Document):
    """Where the labelled texts are."""

    #: A CSV, TSV, JSON (lines) or Parquet file, a file for each split, or a Hub id.
    path: str | Paths
    #: The Hub data set's configuration, where it has several.
    subset: str | None = None
    text: str = "text"
    label: str = "label"
    sizes: Sizes = Field(default_factory=Sizes)
    #: As many texts of each label in every split that is cut here.
    balanced: bool = True

    def under(self, base: Path) -> "DataSpec":
        """The same with its files' paths made absolute; a Hub id stays as it is."""

        def absolute(path: str) -> str:
            local = Path(path).suffix.lower() in _FORMATS
            return str(_under(base, path).absolute()) if local else path

        if isinstance(self.path, str):
            return self.model_copy(update={"path": absolute(self.path)})
        given = {name: path for name, path in self.path.model_dump().items() if path}
        files = {name: str(_under(base, path).absolute()) for name, path in given.items()}
        return self.model_copy(update={"path": self.path.model_copy(update=files)})


@dataclass(frozen=True)
class Split:
    """B texts and their labels, as indices into the task's labels."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label in order."""
        return hashlib.sha256(self._content("")).hexdigest()[:16]

    def _content(self, name: str) -> bytes:
        rows = zip(self.texts, self.labels, strict=True)
        return "".join(f"{name}\0{label}\0{text}\0" for text, label in rows).encode()


@dataclass(frozen=True)
class Splits:
    """What a search learns from, is judged by, and is held out to the end."""

    train: Split
    validation: Split
    test: Split

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label in order."""
        content = b"".join(getattr(self, name)._content(name) for name in _SPLITS)
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in _SPLITS}


Row = tuple[str, int]


def load_splits(spec: DataSpec, labels: Sequence[str], base: Path, seed: int) -> Splits:
    """Read, check and split the data; the same seed gives the same splits.

    No text stands in two splits: of equal texts the first is kept, and one that is in a test or
    validation file is taken out of the others.

    Args:
        labels: the labels that have a word; a row's label is its index here.
        base: the folder that relative paths start from.

    Raises:
        DataError: a missing file or column, an empty text, a label without a word, a split with
            too few texts.
    """
    paths = spec.path if isinstance(spec.path, Paths) else None
    if paths is not None:
        files = {name: getattr(paths, name) for name in _SPLITS if getattr(paths, name)}
        parts = {
            name: _rows(_read_table(_under(base, path)), str(_under(base, path)), spec, labels)
            for name, path in files.items()
        }
    elif Path(str(spec.path)).suffix.lower() in _FORMATS:
        path = _under(base, str(spec.path))
        parts = {"train": _rows(_read_table(path), str(path), spec, labels)}
    else:
        parts = _read_hub(str(spec.path), spec, labels)
    source = paths.train if paths else str(spec.path)
    seen: set[str] = set()
    for name in reversed(_SPLITS):
        if name in parts:
            parts[name] = _distinct(parts[name], seen)
    return _split(parts, spec, labels, source, random.Random(seed))


def _under(base: Path, path: str) -> Path:
    return base / Path(path).expanduser()


def read_labelled(source: str, spec: DataSpec, labels: Sequence[str]) -> Split:
    """All labelled texts of one source, in its order; of equal texts the first.

    Args:
        source: a CSV, TSV, JSON lines or Parquet file, or a Hub id, of which the test split is
            taken, else validation, else train.
        spec: names the columns.
        labels: a row's label is its index here.

    Raises:
        DataError: a missing file or column, an empty text, a label that is none of these.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() in _FORMATS:
        rows = _rows(_read_table(path), source, spec, labels)
    else:
        tables = _load_hub(source, spec)
        name = next((name for name in reversed(_SPLITS) if name in tables), None)
        if name is None:
            raise DataError(
                f"data set {source}: has none of {', '.join(_SPLITS)}, only {', '.join(tables)}"
            )
        rows = _rows(tables[name], f"{source} ({name})", spec, labels)
    texts, numbers = zip(*_distinct(rows, set()), strict=True)
    return Split(texts, numbers)


def read_column(path: Path, column: str) -> list[str]:
    """One column of a CSV, TSV, JSON lines or Parquet file, as text.

    Raises:
        DataError: no such file or column, or it cannot be read.
    """
    table = _read_table(path)
    _require_column(table, str(path), column)
    return ["" if value is None else str(value) for value in table[column]]


def _require_column(table: Any, source: str, column: str) -> None:
    if column not in table.column_names:
        raise DataError(
            f"{source}: no column {column!r}; it has {', '.join(table.column_names)} "
            "(data.text and data.label name the columns)"
        )


def _read_table(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: unknown kind of file; known: {', '.join(_FORMATS)}")
    options: dict[str, Any] = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
    try:
        return _load(kind, data_files=str(path), split="train", **options)
    except Exception as error:
        cause = error.__cause__ or error
        raise DataError(f"{path}: cannot be read as {kind}: {_first_line(cause)}") from error


def _load(*arguments: Any, **options: Any) -> Any:
    # Imported here, as that takes half a second and most commands read no data.
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(*arguments, **options)


def _load_hub(name: str, spec: DataSpec) -> Any:
    try:
        return _load(name, spec.subset)
    except Exception as error:
        raise DataError(
            f"data set {name}: neither a file that is here ({', '.join(_FORMATS)}) nor a Hub data "
            f"set that can be read: {_first_line(error)}"
        ) from error


def _read_hub(name: str, spec: DataSpec, labels: Sequence[str]) -> dict[str, list[Row]]:
    tables = _load_hub(name, spec)
    if "train" not in tables:
        raise DataError(f"data set {name}: has no train split, only {', '.join(tables)}")
    return {
        split: _rows(tables[split], f"{name} ({split})", spec, labels)
        for split in _SPLITS
        if split in tables
    }


def _rows(table: Any, source: str, spec: DataSpec, labels: Sequence[str]) -> list[Row]:
    from datasets import ClassLabel  # late, as in `_load`, which has read the table

    for column in (spec.text, spec.label):
        _require_column(table, source, column)
    feature = table.features[spec.label]
    values = table[spec.label][:]
    if isinstance(feature, ClassLabel):
        values = [feature.int2str(value) if value >= 0 else value for value in values]
    named = ["" if value is None else str(value).strip() for value in values]
    unknown = Counter(value for value in named if value not in labels)
    if unknown:
        label, count = unknown.most_common(1)[0]
        raise DataError(
            f"{source}: label {label!r} ({count} rows) has no word in task.label_words, which has "
            f"{', '.join(labels)}"
        )
    texts = [str(text).strip() if text is not None else "" for text in table[spec.text][:]]
    if "" in texts:
        raise DataError(
            f"{source}: column {spec.text!r} is empty in row {texts.index('') + 1} "
            f"({texts.count('')} such rows); remove them"
        )
    if not texts:
        raise DataError(f"{source}: holds no rows")
    index = {label: number for number, label in enumerate(labels)}
    return [(text, index[value]) for text, value in zip(texts, named, strict=True)]


def _distinct(rows: list[Row], seen: set[str]) -> list[Row]:
    kept = []
    for row in rows:
        if row[0] not in seen:
            seen.add(row[0])
            kept.append(row)
    return kept


def _split(
    parts: dict[str, list[Row]],
    spec: DataSpec,
    labels: Sequence[str],
    source: str,
    rng: random.Random,
) -> Splits:
    for name in _SPLITS:
        rng.shuffle(parts.get(name, []))
    pool = parts["train"]
    total = _usable(pool, labels, spec.balanced)
    splits: dict[str, Split] = {}
    # Held-out splits are filled first, so that changing the size of train never moves a text
    # into or out of them.
    for name in reversed(_SPLITS):
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


def _usable(rows: list[Row], labels: Sequence[str], balanced: bool) -> int:
    """How many rows can be used where each label must have as many as the others."""
    if not balanced:
        return len(rows)
    counts = Counter(label for _, label in rows)
    return min(counts[label] for label in range(len(labels))) * len(labels)


def _take(
    rows: list[Row], wanted: int, labels: Sequence[str], balanced: bool, what: str
) -> list[Row]:
    if wanted < 1:
        raise DataError(f"{what}: the split is empty; give data.sizes more texts")
    if not balanced:
        if len(rows) < wanted:
            raise DataError(f"{what}: {wanted} texts asked for, {len(rows)} left; lower data.sizes")
        return rows[:wanted]
    taken: list[Row] = []
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


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)
