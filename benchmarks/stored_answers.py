"""What a search stored, read by SQL and without this project's code: values that must be equal
wherever the same search is run again. Nothing of when, where or how long."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

#: What is read -> name of a value -> the value.
Answers = dict[str, dict[str, Any]]

QUERIES = {
    "plans": "SELECT number AS key, kind, plan, params, distributions FROM trials "
    "WHERE search_id = ?",
    "trials": "SELECT number AS key, state, score, loss FROM trials WHERE search_id = ?",
    "rungs": "SELECT number || ' rung ' || rung AS key, step, rungs.score, rungs.loss, train_loss "
    "FROM rungs JOIN trials ON id = trial_id WHERE search_id = ?",
    "prompts": "SELECT number AS key, rung, text, content, log_probs "
    "FROM prompts JOIN trials ON id = trial_id WHERE search_id = ?",
    "confirmations": "SELECT number || ' repeat ' || repeat AS key, seed, confirmations.score, "
    "confirmations.loss FROM confirmations JOIN trials ON id = trial_id WHERE search_id = ?",
    "best and ensemble": "SELECT name AS key, state, best, ensemble FROM searches WHERE id = ?",
    "test scores": "SELECT source AS key, result FROM evaluations WHERE search_id = ?",
}


def read_answers(store: Path, name: str) -> Answers:
    """The answers of the search of that name in a SQLite file."""
    answers: Answers = {}
    with closing(sqlite3.connect(store)) as connection:
        connection.row_factory = sqlite3.Row
        (search,) = connection.execute("SELECT id FROM searches WHERE name = ?", (name,)).fetchone()
        for part, query in QUERIES.items():
            rows = {str(row["key"]): dict(row) for row in connection.execute(query, (search,))}
            answers[part] = {
                path: value
                for key, row in sorted(rows.items())
                for column, cell in row.items()
                for path, value in leaves(f"{key} {column}", _plain(cell))
            }
    prompts = answers.pop("prompts")
    numbers = {path: prompts.pop(path) for path in list(prompts) if ".tensors." in path}
    return answers | {"words and token ids": prompts, "vectors, log-probabilities": numbers}


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values inside a JSON document, with their paths."""
    if not isinstance(value, (dict, list)):
        yield path, value
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(f"{path}.{key}", part)


def _plain(cell: Any) -> Any:
    """A cell as JSON would hold it: a document parsed, safetensors as metadata and digests."""
    if isinstance(cell, bytes):
        return _without_numbers(cell)
    if isinstance(cell, str) and cell[:1] in "{[":
        try:
            return json.loads(cell)
        except ValueError:  # a prompt's words
            return cell
    return cell


def _without_numbers(content: bytes) -> dict[str, Any]:
    """A safetensors document: its metadata, and of its tensors the type, shape and digest."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    metadata = {key: _plain(text) for key, text in header.pop("__metadata__", {}).items()}
    tensors = {}
    for name, tensor in header.items():
        begin, end = (start + offset for offset in tensor["data_offsets"])
        digest = hashlib.sha256(content[begin:end]).hexdigest()[:16]
        tensors[name] = f"{tensor['dtype']} {tensor['shape']} {digest}"
    return {"metadata": metadata, "tensors": tensors}
