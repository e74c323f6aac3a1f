"""Files and Hub data sets, read through `datasets` and checked, row by row."""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.rows import Row, Text

_FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
SPLITS = ("train", "validation", "test")
#: Characters of a cell that an error shows.
_LONGEST_CELL = 60

#: A text, and its right answer.
Labelled = tuple[Text, Any]


class RightAnswers(Protocol):
    """What makes right answers of the cells of a column, and says what splits count them by."""

    @property
    def strata(self) -> Sequence[Hashable]:
        """The strata that each split must have, whether the data has them or not; empty for those
        that it has."""

    def read(self, cell: Any) -> Hashable:
        """The right answer that a cell holds: a string, number, list or dict, as the data has it.

        Raises:
            ValueError: what is wrong with the cell, as it reads behind it: "is no number".
        """

    def placed(self, right: Any, text: Text) -> Hashable:
        """The right answer to a text, where its row says more of what a cell means.

        Raises:
            ValueError: it does not fit the row, as in `read`.
        """

    def stratum(self, right: Any) -> Hashable:
        """What a right answer counts as where splits are balanced, by the name that errors call
        it; None where they cannot be."""


@dataclass(frozen=True)
class Labels:
    """One of L labels is right, by its index among their names."""

    names: Sequence[str]

    @property
    def strata(self) -> Sequence[str]:
        return self.names

    def read(self, cell: Any) -> int:
        try:
            return self.names.index(_name(cell))
        except ValueError:
            raise ValueError(
                f"has no word in task.label_words, which has {', '.join(self.names)}"
            ) from None

    def placed(self, right: int, text: Text) -> int:
        return right

    def stratum(self, right: int) -> str:
        return self.names[right]


def is_file(path: str) -> bool:
    """Whether a path is meant for a file, there or not, rather than for a Hub data set."""
    return Path(path).suffix.lower() in _FORMATS


@dataclass(frozen=True)
class RowReader:
    """Reads labelled rows.

    Attributes:
        columns: what a template calls the columns it reads -> their names in the data.
        label: the name of the labels' column.
        answers: what reads that column.

    Its methods raise `DataError`: a missing file or column, an empty text, a cell that holds no
    right answer.
    """

    columns: Mapping[str, str]
    label: str
    answers: RightAnswers

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
        right = self._right(_values(table, self.label), source)
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
        return list(zip(texts, self._placed(right, texts, source), strict=True))

    def _placed(
        self, right: Sequence[Hashable], texts: Sequence[Text], source: str
    ) -> list[Hashable]:
        """Right answers as their rows make them."""
        found: list[Hashable] = []
        faults: list[tuple[str, str, int]] = []
        for row, (own, text) in enumerate(zip(right, texts, strict=True), 1):
            try:
                found.append(self.answers.placed(own, text))
            except ValueError as problem:
                faults.append((_shown(own), str(problem), row))
        if faults:
            raise DataError(f"{source}: {_told(faults)}")
        return found

    def _right(self, cells: Sequence[Any], source: str) -> list[Hashable]:
        right: list[Hashable] = []
        faults: list[tuple[str, str, int]] = []
        for row, cell in enumerate(cells, 1):
            try:
                right.append(self.answers.read(cell))
            except ValueError as problem:
                faults.append((_shown(cell), str(problem), row))
        if faults:
            raise DataError(f"{source}: {_told(faults)}")
        return right


def _told(faults: Sequence[tuple[str, str, int]]) -> str:
    """Cells that are wrong, what is wrong with them, and their rows, in one line: the most common
    one."""
    counts = Counter((cell, problem) for cell, problem, _ in faults)
    (cell, problem), count = counts.most_common(1)[0]
    first = next(row for own, _, row in faults if own == cell)
    others = len(faults) - count
    more = f", and {others} more rows are wrong likewise" if others else ""
    return f"label {cell} ({count} rows) {problem}; see row {first}{more}"


def _shown(cell: Any) -> str:
    """A cell in an error: its beginning, where it is long."""
    shown = repr("" if cell is None else cell.strip() if isinstance(cell, str) else cell)
    return shown if len(shown) <= _LONGEST_CELL else f"{shown[:_LONGEST_CELL]}..."


def first_rows(path: str, base: Path, subset: str | None, count: int = 200) -> dict[str, list[Any]]:
    """The first rows of a file, or of a Hub data set's train split, by column.

    Raises:
        DataError: no such file or data set, or it cannot be read.
    """
    if is_file(path):
        table = _read_table(base / Path(path).expanduser())
    else:
        table = _load_hub_with_train(path, subset)["train"]
    few = table.select(range(min(count, len(table))))
    return {column: few[column][:] for column in few.column_names}


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
    return sorted({name for name in map(_name, _values(table, column)) if name})


def _values(table: Any, column: str) -> list[Any]:
    """A column's cells, labels by their names."""
    from datasets import ClassLabel  # late, as in `_load`, which has read the table

    feature = table.features[column]
    values: list[Any] = table[column][:]
    if isinstance(feature, ClassLabel):
        return [
            feature.int2str(value) if value is not None and value >= 0 else value
            for value in values
        ]
    return values


def _name(cell: Any) -> str:
    """A label's name."""
    return "" if cell is None else str(cell).strip()


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
    return [_cell(value) for value in table[column][:]]


def _cell(value: Any) -> str:
    """A cell as text: lists, such as a row's options, as JSON."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


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
