"""Files and Hub data sets, read through `datasets` and checked, row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.rows import Row, Text

_FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
SPLITS = ("train", "validation", "test")

#: A text, and the index of its label.
Labelled = tuple[Text, int]


def is_file(path: str) -> bool:
    """Whether a path is meant for a file, there or not, rather than for a Hub data set."""
    return Path(path).suffix.lower() in _FORMATS


@dataclass(frozen=True)
class RowReader:
    """Reads labelled rows.

    Attributes:
        columns: what a template calls the columns it reads -> their names in the data.
        label: the name of the labels' column.
        labels: a row's label is its index here.

    Its methods raise `DataError`: a missing file or column, an empty text, a label that is none of
    these.
    """

    columns: Mapping[str, str]
    label: str
    labels: Sequence[str]

    def file(self, path: Path, name: str | None = None) -> list[Labelled]:
        """The rows of one file.

        Args:
            name: what errors call it.
        """
        return self._rows(_read_table(path), name or str(path))

    def hub(self, name: str, subset: str | None) -> dict[str, list[Labelled]]:
        """The rows of every split of a Hub data set."""
        tables = _load_hub_with_train(name, subset)
        return {
            split: self._rows(tables[split], f"{name} ({split})")
            for split in SPLITS
            if split in tables
        }

    def last_split(self, name: str, subset: str | None) -> list[Labelled]:
        """The rows of a Hub data set's test split, else of validation, else of train."""
        tables = _load_hub(name, subset)
        split = next((split for split in reversed(SPLITS) if split in tables), None)
        if split is None:
            raise DataError(
                f"data set {name}: has none of {', '.join(SPLITS)}, only {', '.join(tables)}"
            )
        return self._rows(tables[split], f"{name} ({split})")

    def _rows(self, table: Any, source: str) -> list[Labelled]:
        for column in (*self.columns.values(), self.label):
            _require_column(table, source, column)
        if self.label in self.columns.values():
            raise DataError(
                f"{source}: task.template reads {self.label!r}, the column of the right answers"
            )
        named = _labels(table, self.label)
        unknown = Counter(value for value in named if value not in self.labels)
        if unknown:
            label, count = unknown.most_common(1)[0]
            raise DataError(
                f"{source}: label {label!r} ({count} rows) has no word in task.label_words, which "
                f"has {', '.join(self.labels)}"
            )
        cells = {
            name: [cell.strip() for cell in _cells(table, column)]
            for name, column in self.columns.items()
        }
        for name, column in self.columns.items():
            if "" in cells[name]:
                raise DataError(
                    f"{source}: column {column!r} is empty in row {cells[name].index('') + 1} "
                    f"({cells[name].count('')} such rows); remove them"
                )
        texts = _texts(cells)
        if not texts:
            raise DataError(f"{source}: holds no rows")
        index = {label: number for number, label in enumerate(self.labels)}
        return [(text, index[value]) for text, value in zip(texts, named, strict=True)]


def label_names(path: str, base: Path, subset: str | None, column: str) -> list[str]:
    """The labels that are in a file's, or a Hub data set's train, column, sorted.

    Raises:
        DataError: no such file, data set or column, or it cannot be read.
    """
    if is_file(path):
        table = _read_table(base / Path(path).expanduser())
    else:
        table = _load_hub_with_train(path, subset)["train"]
    _require_column(table, path, column)
    return sorted({label for label in _labels(table, column) if label})


def _labels(table: Any, column: str) -> list[str]:
    """The labels of all rows, by name."""
    from datasets import ClassLabel  # late, as in `_load`, which has read the table

    feature = table.features[column]
    values = table[column][:]
    if isinstance(feature, ClassLabel):
        values = [feature.int2str(value) if value >= 0 else value for value in values]
    return ["" if value is None else str(value).strip() for value in values]


def column_names(path: Path) -> list[str]:
    """The columns of a CSV, TSV, JSON lines or Parquet file.

    Raises:
        DataError: no such file, or it cannot be read.
    """
    return list(_read_table(path).column_names)


def read_texts(path: Path, columns: Mapping[str, str]) -> list[Text]:
    """All texts of a CSV, TSV, JSON lines or Parquet file.

    Args:
        columns: as `RowReader` has them.

    Raises:
        DataError: no such file or column, or it cannot be read.
    """
    table = _read_table(path)
    for column in columns.values():
        _require_column(table, str(path), column)
    return _texts({name: _cells(table, column) for name, column in columns.items()})


def _texts(cells: Mapping[str, list[str]]) -> list[Text]:
    """Texts of columns' cells: strings where there is one column."""
    if len(cells) == 1:
        [only] = cells.values()
        return list(only)
    return [Row(dict(zip(cells, row, strict=True))) for row in zip(*cells.values(), strict=True)]


def _cells(table: Any, column: str) -> list[str]:
    return ["" if value is None else str(value) for value in table[column][:]]


def _require_column(table: Any, source: str, column: str) -> None:
    if column not in table.column_names:
        raise DataError(
            f"{source}: no column {column!r}; it has {', '.join(table.column_names)} "
            "(task.template, data.text and data.label name the columns)"
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


def _load_hub(name: str, subset: str | None) -> Any:
    try:
        return _load(name, subset)
    except Exception as error:
        raise DataError(
            f"data set {name}: neither a file that is here ({', '.join(_FORMATS)}) nor a Hub data "
            f"set that can be read: {_first_line(error)}"
        ) from error


def _load_hub_with_train(name: str, subset: str | None) -> Any:
    tables = _load_hub(name, subset)
    if "train" not in tables:
        raise DataError(f"data set {name}: has no train split, only {', '.join(tables)}")
    return tables


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else repr(error)
