"""Texts in, as they come: from a file, or from a pipe that may take its time."""

import csv
import json
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.columns import as_column, cell_of
from autoprompt.workers.data_files import read_texts
from autoprompt.workers.rows import Row, Text

FORMATS = ("txt", "csv", "tsv", "jsonl")

#: Texts that are labelled together, if so many are there.
BATCH = 256

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class TextSource:
    """Where texts come from; memory does not grow with how many they are.

    Attributes:
        name: as errors say it.
        total: how many there are; None where only the end will tell.
        rows: starts reading: the texts, and whether the next would have to be waited for.
    """

    name: str
    total: int | None
    rows: Callable[[], tuple[Iterator[Text], Callable[[], bool]]]

    def batches(self) -> Iterator[list[Text]]:
        """The texts in order, in batches: whole ones, or what is there while more is awaited.

        Raises:
            BadInputError: a text is empty, or a row cannot be read; those before it were given.
        """
        texts, awaits = self.rows()
        checked = _checked(texts, self.name)
        batch: list[Text] = []
        while True:
            try:
                text = next(checked, None)
            except BadInputError:
                if batch:
                    yield batch
                raise
            if text is not None:
                batch.append(text)
            if batch and (text is None or len(batch) == BATCH or awaits()):
                yield batch
                batch = []
            if text is None:
                return


def text_source(source: str, form: str | None, columns: Mapping[str, str]) -> TextSource:
    """A file's texts, or those of stdin for `-`.

    A file is read through once before anything is done with it, so that what is wrong with it is
    known, and how long it is.

    Args:
        form: one of `FORMATS`; by the file's ending where it is not given, txt for stdin.
        columns: what templates call the columns they read -> their names in a table.

    Raises:
        BadInputError: no such file or column, an empty text, or none at all.
    """
    if source == "-":
        return TextSource("stdin", None, lambda: _rows(_stdin(), form or "txt", columns, "stdin"))
    path = Path(source)
    if not path.is_file():
        raise BadInputError(f"{source}: no such file")
    form = form or path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        texts = read_texts(path, columns)
        opened = TextSource(source, len(texts), lambda: (iter(texts), _never))
    else:

        def rows() -> tuple[Iterator[Text], Callable[[], bool]]:
            return _rows(_Lines(os.open(path, os.O_RDONLY)), form, columns, source)

        opened = TextSource(source, None, rows)
    total = sum(map(len, opened.batches()))
    if total == 0:
        raise BadInputError(f"{source}: holds no texts")
    return TextSource(source, total, opened.rows)


def columns_of(configs: Sequence[SearchConfig], column: str | None) -> dict[str, str]:
    """What several searches read of a row, as templates call it and as the input does.

    Args:
        column: what the texts' column is called in the input; as in the first search otherwise.

    Raises:
        BadInputError: as `SearchConfig.columns_in`.
    """
    needed = [config.columns_in(column) for config in configs]
    if all(len(columns) == 1 for columns in needed):
        return needed[0]
    return {name: names for columns in reversed(needed) for name, names in columns.items()}


def given_texts(texts: Sequence[str], columns: Mapping[str, str]) -> TextSource:
    """Texts that are there already.

    Raises:
        BadInputError: several columns are read.
    """
    if len(columns) > 1:
        raise BadInputError(
            f"the columns {', '.join(columns)} are read of a text: give them with --input FILE, as "
            "csv, tsv or jsonl"
        )
    return TextSource("the command line", len(texts), lambda: (iter(texts), _never))


def _never() -> bool:
    return False


def _checked(texts: Iterator[Text], name: str) -> Iterator[Text]:
    for number, text in enumerate(texts, 1):
        cells = {"": text} if isinstance(text, str) else text
        for column, cell in cells.items():
            if not cell.strip():
                part = f"column {column!r} of " if column else ""
                raise BadInputError(f"{name}: {part}text {number} is empty; remove it")
        yield text


class _Lines:
    """The lines of a file or pipe, each as soon as it is there."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        while True:
            while not self._lines and not self._ended:
                self._read()
            if not self._lines:
                return
            yield self._lines.popleft()

    def _read(self) -> None:
        # Gives what is there, and waits only where nothing is.
        chunk = os.read(self._file, _CHUNK_BYTES)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._lines.extend(line + b"\n" for line in lines)
        if not chunk:
            self._ended = True
            if self._rest:
                self._lines.append(self._rest)
            os.close(self._file)

    def awaited(self) -> bool:
        """Whether the next line is not there yet."""
        there = self._lines or self._ended or select.select([self._file], [], [], 0)[0]
        return not there


def _stdin() -> _Lines:
    return _Lines(os.dup(sys.stdin.fileno()))


def _rows(
    lines: _Lines, form: str, columns: Mapping[str, str], name: str
) -> tuple[Iterator[Text], Callable[[], bool]]:
    decoded = _decoded(lines, name)
    if form == "txt":
        if len(columns) > 1:
            raise BadInputError(
                f"{name}: a text a line fills one column, and {', '.join(columns)} are read; give "
                "csv, tsv or jsonl with these (--input-format for stdin)"
            )
        return (line.rstrip("\r\n") for line in decoded), lines.awaited
    if form == "jsonl":
        cells = _json_cells(decoded, columns, name)
    else:
        cells = _table_cells(decoded, "\t" if form == "tsv" else ",", list(columns.values()), name)
    return (_text(columns, row) for row in cells), lines.awaited


def _text(columns: Mapping[str, str], cells: Sequence[str]) -> Text:
    return cells[0] if len(columns) == 1 else Row(dict(zip(columns, cells, strict=True)))


def _decoded(lines: _Lines, name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise BadInputError(f"{name}: line {number} is not UTF-8 text") from None


def _json_cells(lines: Iterator[str], columns: Mapping[str, str], name: str) -> Iterator[list[str]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInputError(f"{name}: line {number} is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise BadInputError(f"{name}: line {number} is no object")
        cells = []
        for called, column in columns.items():
            try:
                cells.append(as_column(called, cell_of(row, column)))
            except KeyError:
                raise BadInputError(
                    f"{name}: line {number} has no {column!r}: it has {', '.join(row)} "
                    "(see --column)"
                ) from None
        yield cells


def _table_cells(
    lines: Iterator[str], delimiter: str, columns: Sequence[str], name: str
) -> Iterator[list[str]]:
    csv.field_size_limit(sys.maxsize)
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(table, [])
        for column in columns:
            if column not in header:
                has = f"it has {', '.join(header)}" if header else "it is empty"
                raise BadInputError(f"{name}: no column {column!r}; {has} (see --column)")
        places = [header.index(column) for column in columns]
        for row in table:
            if row:
                yield [row[place] if place < len(row) else "" for place in places]
    except csv.Error as error:
        raise BadInputError(f"{name}: line {table.line_num}: {error}") from None
