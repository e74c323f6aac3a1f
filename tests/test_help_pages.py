"""What docs/gpus.md computes and docs/troubleshooting.md quotes is what the code does and says."""

import ast
import math
import re
from functools import cache
from pathlib import Path

import pytest
from transformers import LlamaConfig

from autoprompt.preparation.kv_check import row_shape

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def models() -> list[list[str]]:
    """The rows of the table of models."""
    rows = re.findall(r"^\| ([\w.-]+) \| (\d.*) \|$", page("gpus"), flags=re.MULTILINE)
    return [[name, *rest.split(" | ")] for name, rest in rows]


@pytest.mark.parametrize("row", models(), ids=lambda row: row[0])
def test_the_memory_of_texts_is_what_the_code_counts(row: list[str]) -> None:
    """In bfloat16, by the shape that a configuration of these numbers promises."""
    _, layers, groups, size, kib, _, short, long = row
    config = LlamaConfig(
        num_hidden_layers=int(layers),
        num_attention_heads=int(groups) * 2,
        num_key_value_heads=int(groups),
        head_dim=int(size),
        hidden_size=64 * int(groups),
    )
    shape = row_shape(config)
    assert shape is not None
    token = 2 * math.prod(shape)
    assert float(kib) == token / 1024
    for told, tokens in ((short, 128), (long, 512)):
        assert float(told) == pytest.approx(2000 * tokens * token / 2**30, abs=0.051)


def test_there_are_models_in_the_table() -> None:
    assert len(models()) == 7


@cache
def texts_of_the_code() -> str:
    """Every string of the code, those that are written in parts whole; a line each."""
    found = []
    for name in ("autoprompt", "workers", "search_spaces"):
        for path in (ROOT / name).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values
                    ]
                    found.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def test_the_messages_that_are_explained_are_those_of_the_code() -> None:
    quoted = re.findall(r"^\| `([^`]+)` \|", page("troubleshooting"), flags=re.MULTILINE)
    assert len(quoted) > 15
    assert [message for message in quoted if message not in texts_of_the_code()] == []
