"""Texts in from a file, labels out to one."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

from search_spaces.errors import BadInputError
from workers.data import read_column

_OUTPUTS = (".csv", ".jsonl")


def read_texts(source: str, column: str) -> list[str]:
    """The texts of a file: a line each, or a column of a table.

    Raises:
        BadInputError: no such file or column, or an empty text.
    """
    path = Path(source)
    if source != "-" and not path.is_file():
        raise BadInputError(f"{source}: no such file")
    if source == "-" or path.suffix == ".txt":
        content = sys.stdin.read() if source == "-" else path.read_text(encoding="utf-8")
        texts = content.splitlines()
    else:
        texts = read_column(path, column)
    if not texts:
        raise BadInputError(f"{source}: holds no texts")
    empty = next((row for row, text in enumerate(texts, 1) if not text.strip()), None)
    if empty:
        raise BadInputError(f"{source}: text {empty} is empty; remove it")
    return texts


def check_output(path: str) -> None:
    """Refuse, before any work, an output that cannot be written.

    Raises:
        BadInputError: an unknown kind of file, a folder that is not there, a file that is.
    """
    if Path(path).suffix not in _OUTPUTS:
        raise BadInputError(f"--output {path}: unknown kind of file; use {' or '.join(_OUTPUTS)}")
    if not Path(path).absolute().parent.is_dir():
        raise BadInputError(f"--output {path}: no folder {Path(path).parent}")
    if Path(path).exists():
        raise BadInputError(f"--output {path}: exists; name another file or remove it")


def write_predictions(path: str, rows: list[dict[str, Any]]) -> None:
    """Write all rows, under the file's name only once they are all there."""
    unfinished = Path(f"{path}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        if path.endswith(".csv"):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    unfinished.replace(path)
