"""The documentation says what the code does."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from autoprompt.config import SearchConfig
from docs.generate import PAGES
from search_spaces.documents import Document
from tests.conftest import write_yaml

DOCS = Path(__file__).parent.parent / "docs"


def documented_yaml() -> dict[str, Any]:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    content: dict[str, Any] = yaml.safe_load(block[1])
    return content


def undocumented(document: type[Document], content: Any, path: str) -> list[str]:
    missing = []
    for name, field in document.model_fields.items():
        if name not in content:
            missing.append(f"{path}{name}")
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Document)]
        if inner and isinstance(content[name], dict):
            missing += undocumented(inner[0], content[name], f"{path}{name}.")
    return missing


def test_every_key_is_documented() -> None:
    assert undocumented(SearchConfig, documented_yaml(), "") == []


def test_the_documented_yaml_is_valid(tmp_path: Path) -> None:
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", documented_yaml()))
    assert config.space.kinds == ("soft", "hard", "mixed")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_generated_is_up_to_date(page: str) -> None:
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == PAGES[page](), f"docs/{page} is out of date: run `make docs` and commit it"
