"""Labels out, as they come: to a file, or down a pipe."""

import csv
import json
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from autoprompt.new_files import check_new, made_whole
from autoprompt.search_spaces.errors import BadInputError

FORMATS = ("csv", "jsonl")

#: A cell that begins with one of these is run as a formula when a spreadsheet opens the file.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

Row = dict[str, Any]


class Writer(ABC):
    """Writes rows to a text stream and sends them on their way at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        self._write(rows)
        self._stream.flush()

    @abstractmethod
    def _write(self, rows: Sequence[Row]) -> None: ...

    def end(self) -> None:
        """All rows are written."""
        self._stream.flush()


class JsonLines(Writer):
    """A JSON object a line."""

    def _write(self, rows: Sequence[Row]) -> None:
        self._stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


class JsonDocument(Writer):
    """One JSON list of all rows."""

    _before = "[\n"

    def _write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._stream.write(self._before + json.dumps(row, indent=2, ensure_ascii=False))
            self._before = ",\n"

    def end(self) -> None:
        self._stream.write("\n]\n" if self._before == ",\n" else "[]\n")
        super().end()


class _UnixLines:
    """Where `csv` writes a line ending in CR LF, which makes it quote cells that hold a CR, too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix("\r\n") + "\n")


class Table(Writer):
    """CSV, with a column for the probability of each label, safe to open in a spreadsheet."""

    def __init__(
        self, stream: TextIO, labels: Sequence[str], named: bool, abstains: bool = False
    ) -> None:
        super().__init__(stream)
        columns = ["text", "label", "probability", "votes", *(f"p_{label}" for label in labels)]
        columns = ["search", *columns] if named else columns
        self._abstains = abstains
        columns += ["reason"] if abstains else []
        self._rows = csv.DictWriter(_UnixLines(stream), columns)
        self._rows.writeheader()

    def _write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            flat = {name: value for name, value in row.items() if name != "probabilities"}
            if not self._abstains:
                flat.pop("reason", None)
            flat["label"] = row["label"] and written(row["label"])
            flat |= {f"p_{label}": part for label, part in row["probabilities"].items()}
            self._rows.writerow({name: plain_cell(value) for name, value in flat.items()})


def written(label: Any) -> str:
    """An answer in a cell: several labels and spans as JSON, all else as it is."""
    return json.dumps(label, ensure_ascii=False) if isinstance(label, list) else str(label)


def plain_cell(value: Any) -> Any:
    """A cell that no spreadsheet runs: an apostrophe before what would begin a formula (OWASP,
    "CSV injection"). A number stays one, also where it is written with its sign."""
    if not (isinstance(value, str) and value.startswith(_FORMULA_STARTS)):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"


def check_output(path: str, form: str | None) -> str:
    """The format of an output, if it can be written: refused before any work otherwise.

    Raises:
        BadInputError: an unknown kind of file, a folder that is not there, a file that is.
    """
    form = form or ("jsonl" if path == "-" else Path(path).suffix.lower().removeprefix("."))
    if form not in FORMATS:
        raise BadInputError(f"--output {path}: unknown kind of file; use .csv or .jsonl")
    if path != "-":
        check_new(Path(path), "--output")
    return form


@contextmanager
def writing(
    path: str, form: str, labels: Sequence[str], named: bool, abstains: bool = False
) -> Iterator[Writer]:
    """A writer to a file, which gets its name once all rows are in it, or to stdout for `-`.

    Args:
        form: one of `FORMATS`, or json for one document.
        labels: every label there may be.
        named: whether rows say which search they are from.
        abstains: whether a text may have no label, and a reason for it.
    """

    def writer(stream: TextIO) -> Writer:
        if form == "csv":
            return Table(stream, labels, named, abstains)
        if form == "jsonl":
            return JsonLines(stream)
        return JsonDocument(stream)

    if path == "-":
        rows = writer(sys.stdout)
        yield rows
        rows.end()
        return
    with (
        made_whole(Path(path), "--output") as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = writer(file)
        yield rows
        rows.end()
