"""Files and Hub data sets, read through `datasets` and checked, row by row."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.columns import as_column, cells_of, mapped, name_of
from autoprompt.workers.rows import Row, Text
from autoprompt.workers.spans import tagged_spans

#: By what a file is called, what `datasets` calls it.
FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
SPLITS = ("train", "validation", "test")
#: Characters of a cell that an error shows.
_LONGEST_CELL = 60


class Labelled(NamedTuple):
    """A text and its right answer, and the group that it may not be parted from."""

    text: Text
    right: Any
    group: str | None = None


class RightAnswers(Protocol):
    """What makes right answers of the cells of a column, and says what splits count them by."""

    @property
    def strata(self) -> Sequence[Hashable]:
        """The strata that each split must have, whether the data has them or not; empty for those
        that it has."""

    def read(self, cell: Any, text: Text) -> Hashable:
        """The right answer that a cell holds.

        Args:
            cell: a string, number, list or dict, as the data has it.
            text: what the answer is to, with the white space around it, so that places in it are
                those of the data.

        Raises:
            ValueError: what is wrong with the cell, as it reads behind it: "is no number".
        """

    def stratum(self, right: Any) -> Hashable:
        """What a right answer counts as where splits are balanced, by the name that errors call
        it; None where they cannot be."""


def is_file(path: str) -> bool:
    """Whether a path is meant for a file, there or not, rather than for a Hub data set."""
    return Path(path).suffix.lower() in FORMATS


@dataclass(frozen=True)
class RowReader:
    """Reads labelled rows.

    Attributes:
        columns: what a template calls the columns it reads -> their names in the data.
        label: the name of the right answers' column.
        answers: what reads that column.
        label_map: a label's name in it -> what `answers` know it by.
        tagged: the column of {text} has lists of tokens, and that of the answers their tags.
        group: the name of the column of groups.

    Its methods raise `DataError`: a missing file or column, an empty text, a cell that holds no
    right answer.
    """

    columns: Mapping[str, str]
    label: str
    answers: RightAnswers
    label_map: Mapping[str, str] = field(default_factory=dict)
    tagged: bool = False
    group: str | None = None

    def file(self, path: Path, name: str | None = None) -> list[Labelled]:
        """The rows of one file.

        Args:
            name: what errors call it.
        """
        return self._rows(read_table(path), name or str(path))

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
        given = {name: cells_of(table, own, source) for name, own in self.columns.items()}
        right = cells_of(table, self.label, source)
        if self.label in self.columns.values():
            raise DataError(
                f"{source}: task.template reads {self.label!r}, the column of the right answers"
            )
        if self.label_map:
            right = [mapped(cell, self.label_map) for cell in right]
        cells = {name: [as_column(name, cell) for cell in own] for name, own in given.items()}
        answers = self._right(right, texts_of(cells), given.get("text", []), source)
        stripped = {name: [cell.strip() for cell in own] for name, own in cells.items()}
        for name, column in self.columns.items():
            _refuse_empty(stripped[name], column, source)
        texts = texts_of(stripped)
        if not texts:
            raise DataError(f"{source}: holds no rows")
        groups: Sequence[str | None] = [None] * len(texts)
        if self.group is not None:
            groups = [name_of(cell) for cell in cells_of(table, self.group, source)]
            _refuse_empty(groups, self.group, source)
        return list(map(Labelled, texts, answers, groups))

    def _right(
        self, cells: Sequence[Any], texts: Sequence[Text], tokens: Sequence[Any], source: str
    ) -> list[Hashable]:
        right: list[Hashable] = []
        faults: list[tuple[str, str, int]] = []
        for place, cell in enumerate(cells):
            try:
                if self.tagged:
                    spans = tagged_spans(tokens[place] or [], cell)
                    cell = mapped(spans, self.label_map)
                right.append(self.answers.read(cell, texts[place]))
            except ValueError as problem:
                faults.append((_shown(cell), str(problem), place + 1))
        if faults:
            raise DataError(f"{source}: {_told(faults)}")
        return right


def _refuse_empty(cells: Sequence[str | None], column: str, source: str) -> None:
    if "" in cells:
        raise DataError(
            f"{source}: column {column!r} is empty in row {cells.index('') + 1} "
            f"({cells.count('')} such rows); remove them"
        )


def _told(faults: Sequence[tuple[str, str, int]]) -> str:
    """Cells that are wrong, what is wrong with them, and their rows, in one line: the most common
    one."""
    counts = Counter((cell, problem) for cell, problem, _ in faults)
    (cell, problem), count = counts.most_common(1)[0]
    first = next(row for own, _, row in faults if own == cell)
    others = len(faults) - count
    more = f", and {others} more rows are wrong likewise" if others else ""
    rows = "1 row" if count == 1 else f"{count} rows"
    return f"label {cell} ({rows}) {problem}; see row {first}{more}"


def _shown(cell: Any) -> str:
    """A cell in an error: its beginning, where it is long."""
    shown = repr("" if cell is None else cell.strip() if isinstance(cell, str) else cell)
    return shown if len(shown) <= _LONGEST_CELL else f"{shown[:_LONGEST_CELL]}..."


def first_rows(path: str, base: Path, subset: str | None) -> dict[str, list[Any]]:
    """The first rows of a file, or of a Hub data set's train split, by column.

    Raises:
        DataError: no such file or data set, or it cannot be read.
    """
    if is_file(path):
        table = read_table(base / Path(path).expanduser())
    else:
        table = _load_hub_with_train(path, subset)["train"]
    return head_of(table)


def head_of(table: Any, count: int = 200) -> dict[str, list[Any]]:
    """The first rows of a `datasets.Dataset`, by column."""
    few = table.select(range(min(count, len(table))))
    return {column: few[column][:] for column in few.column_names}


def label_names(
    path: str,
    base: Path,
    subset: str | None,
    column: str,
    label_map: Mapping[str, str],
    labels_in: Callable[[Any], Sequence[str]] = lambda cell: [name_of(cell)],
) -> list[str]:
    """The labels that are in a file's, or a Hub data set's train, column, sorted.

    Args:
        label_map: a label's name in the data -> what it is called here.
        labels_in: the labels that a cell names.

    Raises:
        DataError: no such file, data set or column, or it cannot be read.
    """
    if is_file(path):
        table = read_table(base / Path(path).expanduser())
    else:
        table = _load_hub_with_train(path, subset)["train"]
    names: set[str] = set()
    for row, cell in enumerate(cells_of(table, column, path), 1):
        try:
            names.update(labels_in(mapped(cell, label_map)))
        except ValueError as problem:
            raise DataError(f"{path}: label {_shown(cell)} {problem}; see row {row}") from None
    return sorted(names - {""})


def read_texts(path: Path, columns: Mapping[str, str]) -> list[Text]:
    """All texts of a CSV, TSV, JSON lines or Parquet file.

    Args:
        columns: as `RowReader` has them.

    Raises:
        DataError: no such file or column, or it cannot be read.
    """
    table = read_table(path)
    cells = {name: cells_of(table, column, str(path)) for name, column in columns.items()}
    return texts_of({name: [as_column(name, cell) for cell in own] for name, own in cells.items()})


def texts_of(cells: Mapping[str, list[str]]) -> list[Text]:
    """Texts of columns' cells: strings where there is one column."""
    if len(cells) == 1:
        [only] = cells.values()
        return list(only)
    return [Row(dict(zip(cells, row, strict=True))) for row in zip(*cells.values(), strict=True)]


def read_table(path: Path) -> Any:
    """A file as a `datasets.Dataset`.

    Raises:
        DataError: no such file, or it cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: unknown kind of file; known: {', '.join(FORMATS)}")
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        options = _as_text(path, separator) if kind == "csv" else {}
        return _load(kind, data_files=str(path), split="train", **options)
    except Exception as error:
        cause = error.__cause__ or error
        raise DataError(f"{path}: cannot be read as {kind}: {_first_line(cause)}") from error


def _as_text(path: Path, separator: str) -> dict[str, Any]:
    """How a CSV's cells are read as they stand: `01`, `true` and `None` are names, too."""
    import datasets
    import pandas as pd

    names = pd.read_csv(path, sep=separator, nrows=0).columns
    features = datasets.Features({name: datasets.Value("string") for name in names})
    return {"sep": separator, "na_filter": False, "features": features}


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
            f"data set {name}: neither a file that is here ({', '.join(FORMATS)}) nor a Hub data "
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
