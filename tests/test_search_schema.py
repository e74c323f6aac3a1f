"""The JSON Schema that editors complete a search's YAML by: it accepts what the loader accepts."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from autoprompt.config import SearchConfig
from autoprompt.search_spaces import preset_names, preset_path
from autoprompt.search_spaces.errors import ConfigError
from tests.conftest import write_yaml

ROOT = Path(__file__).parent.parent
SCHEMA: dict[str, Any] = json.loads(
    (ROOT / "autoprompt" / "search.schema.json").read_text(encoding="utf-8")
)
EXAMPLES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "examples").rglob("*.yaml")
    if "model" not in path.parent.parts
)

#: A search that both accept.
SEARCH: dict[str, Any] = {
    "model": "some/model",
    "data": {"path": "texts.csv"},
    "task": {"template": "{text}", "label_words": {"bad": "bad", "good": "good"}},
    "space": "quick",
}


def valid(content: Any, part: str | None = None) -> bool:
    """Whether the schema, or the definition of a part of it, accepts what YAML says."""
    schema = SCHEMA if part is None else {**SCHEMA["$defs"][part], "$defs": SCHEMA["$defs"]}
    found = jsonschema.Draft202012Validator(schema)
    # As an editor reads it: no tuples, and keys are texts.
    return found.is_valid(json.loads(json.dumps(content)))


def loads(content: dict[str, Any], folder: Path) -> bool:
    try:
        SearchConfig.read(write_yaml(folder / "search.yaml", content))
    except ConfigError:
        return False
    return True


def with_key(key: str, value: Any) -> dict[str, Any]:
    """The search with one key, dotted, that says something else."""
    content = deepcopy(SEARCH)
    *parents, last = key.split(".")
    inner = content
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return content


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def documents() -> Iterator[tuple[str, str]]:
    """Every whole search that the documentation shows, and where."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for number, block in enumerate(blocks):
            if re.search(r"^model:", block, re.MULTILINE):
                yield f"{page.name}-{number}", block


@pytest.mark.parametrize("block", [pytest.param(text, id=name) for name, text in documents()])
def test_searches_in_the_documentation_are_valid(block: str) -> None:
    assert valid(yaml.safe_load(block))


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_examples_are_valid_and_name_it_where_it_is(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert valid(yaml.safe_load(text))
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (ROOT / path.parent / named[1]).resolve() == ROOT / "autoprompt" / "search.schema.json"


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid(name: str) -> None:
    assert valid(yaml.safe_load(preset_path(name).read_text(encoding="utf-8")), "Space")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", {"path": "some/model", "quantization": "int8"}),
        ("data.path", {"train": "a.csv", "test": "b.csv"}),
        ("data.sizes", {"train": 0.5, "validation": 100}),
        ("task.label_words", {"bad": ["bad", "poor"], "good": "good"}),
        ("task.label_words", {"0": 0, "1": 1.5, "2": True}),
        ("task.columns", ["text"]),
        ("space", {"soft": {"length": 4, "learning_rate": 0.1, "steps": [8, 16]}}),
        ("space", {"kv": {"length": {"low": 1, "high": 4}, "learning_rate": 0.1, "steps": 8}}),
        ("space", {"hard": {"start": ["a", "b"]}, "template": ["{text} {hard}", "built_in"]}),
        ("space", {"hard": {"start": "a"}, "label_words": {"propose": 4}}),
        ("space", {"hard": {"start": "a"}, "label_words": [{"bad": "no", "good": ["yes"]}]}),
        ("space", {"hard": {"start": "a"}, "demonstrations": {"count": [0, 4]}}),
        ("search", {"workers": "auto", "trials_per_worker": "auto", "judging": "all"}),
        ("search", {"workers": 0, "judging": 100, "gpus_per_worker": 0.5, "patience": None}),
        ("warm_start", True),
        ("warm_start", 3),
        ("warm_start", "auto"),
        ("baselines", None),
        ("baselines", "lora"),
        ("baselines", ["default", "mine:Baseline"]),
        ("callbacks", ["log"]),
        ("confirm", {}),
        ("bagging", {"folds": 3}),
        ("abstain", {"error": 0.1}),
        ("name", "mine"),
    ],
)
def test_both_accept(key: str, value: Any, tmp_path: Path) -> None:
    content = with_key(key, value)
    assert loads(content, tmp_path)
    assert valid(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("serach", {}),
        ("search.trails", 8),
        ("search.trials", 0),
        ("search.workers", "many"),
        ("space", {"soft": {"lenght": 4, "learning_rate": 0.1, "steps": 8}}),
        ("space", {"soft": {"length": {"low": 1, "hihg": 4}, "learning_rate": 0.1, "steps": 8}}),
        ("model", {"pth": "some/model"}),
        ("model", {"path": "some/model", "quantization": "int7"}),
        ("task.label_words", ["bad", "good"]),
        ("task.label_scoring", "guess"),
        ("ensemble.vote", "loudest"),
        ("abstain", {}),
        ("data", None),
    ],
)
def test_both_refuse(key: str, value: Any, tmp_path: Path) -> None:
    content = with_key(key, value)
    assert not loads(content, tmp_path)
    assert not valid(content)


@pytest.mark.parametrize("key", ["model", "data", "task", "space"])
def test_both_refuse_a_search_without(key: str, tmp_path: Path) -> None:
    content = {name: value for name, value in SEARCH.items() if name != key}
    assert not loads(content, tmp_path)
    assert not valid(content)


def test_every_key_says_what_it_is_for() -> None:
    parts = SCHEMA["$defs"] | {"": SCHEMA}
    silent = [
        f"{part}.{key}"
        for part, content in parts.items()
        for key, value in content.get("properties", {}).items()
        if not value.get("description")
    ]
    assert not silent, "say it in a line above the key: #: what it is for"
    assert SCHEMA["properties"]["name"]["description"].startswith("What the search is called")
