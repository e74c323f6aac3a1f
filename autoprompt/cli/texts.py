"""Texts in, as they come: from a file, or from a pipe that may take its time."""

import csv
import json
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.data import read_column

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
    rows: Callable[[], tuple[Iterator[str], Callable[[], bool]]]

    def batches(self) -> Iterator[list[str]]:
        """The texts in order, in batches: whole ones, or what is there while more is awaited.

        Raises:
            BadInputError: a text is empty, or a row cannot be read; those before it were given.
        """
        texts, awaits = self.rows()
        checked = _checked(texts, self.name)
        batch: list[str] = []
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


def open_texts(source: str, form: str | None, column: str) -> TextSource:
    """A file's texts, or those of stdin for `-`.

    A file is read through once before anything is done with it, so that what is wrong with it is
    known, and how long it is.

    Args:
        form: one of `FORMATS`; by the file's ending where it is not given, txt for stdin.
        column: of a table, the texts.

    Raises:
        BadInputError: no such file or column, an empty text, or none at all.
    """
    if source == "-":
        return TextSource("stdin", None, lambda: _rows(_stdin(), form or "txt", column, "stdin"))
    path = Path(source)
    if not path.is_file():
        raise BadInputError(f"{source}: no such file")
    form = form or path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        texts = read_column(path, column)
        found = TextSource(source, len(texts), lambda: (iter(texts), _never))
    else:

        def rows() -> tuple[Iterator[str], Callable[[], bool]]:
            return _rows(_Lines(os.open(path, os.O_RDONLY)), form, column, source)

        found = TextSource(source, None, rows)
    total = sum(map(len, found.batches()))
    if total == 0:
        raise BadInputError(f"{source}: holds no texts")
    return TextSource(source, total, found.rows)


def given_texts(texts: Sequence[str]) -> TextSource:
    """Texts that are there already."""
    return TextSource("the command line", len(texts), lambda: (iter(texts), _never))


def _never() -> bool:
    return False


def _checked(texts: Iterator[str], name: str) -> Iterator[str]:
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise BadInputError(f"{name}: text {number} is empty; remove it")
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
    lines: _Lines, form: str, column: str, name: str
) -> tuple[Iterator[str], Callable[[], bool]]:
    decoded = _decoded(lines, name)
    if form == "txt":
        return (line.rstrip("\r\n") for line in decoded), lines.awaited
    if form == "jsonl":
        return _json_texts(decoded, column, name), lines.awaited
    return _table_texts(decoded, "\t" if form == "tsv" else ",", column, name), lines.awaited


def _decoded(lines: _Lines, name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise BadInputError(f"{name}: line {number} is not UTF-8 text") from None


def _json_texts(lines: Iterator[str], column: str, name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInputError(f"{name}: line {number} is not JSON: {error.msg}") from None
        if not isinstance(row, dict) or column not in row:
            has = f"it has {', '.join(row)}" if isinstance(row, dict) else "it is no object"
            raise BadInputError(f"{name}: line {number} has no {column!r}: {has} (see --column)")
        yield "" if row[column] is None else str(row[column])


def _table_texts(lines: Iterator[str], delimiter: str, column: str, name: str) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(table, [])
        if column not in header:
            has = f"it has {', '.join(header)}" if header else "it is empty"
            raise BadInputError(f"{name}: no column {column!r}; {has} (see --column)")
        place = header.index(column)
        for row in table:
            if row:
                yield row[place] if place < len(row) else ""
    except csv.Error as error:
        raise BadInputError(f"{name}: line {table.line_num}: {error}") from None
