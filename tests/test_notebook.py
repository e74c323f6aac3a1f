"""The notebook among the examples runs from its first cell to its last."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import DEMO

NOTEBOOK = DEMO.parent / "first_search.ipynb"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPROMPT_TABLES", str(tmp_path / "tables"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copytree(DEMO, tmp_path / "demo", symlinks=False, copy_function=_linked)
    book = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    told = [output for cell in book.cells for output in cell.get("outputs", [])]
    pages = [
        output["data"]["text/html"] for output in told if "text/html" in output.get("data", {})
    ]
    assert any("the template alone" in page and "best prompt" in page for page in pages)
    assert any("trial   1" in page for page in pages), "it says how far it is"
    assert eval(told[-1]["data"]["text/plain"]) == ["positive", "negative"]  # noqa: S307 - ours


def _linked(file: str, link: str) -> None:
    Path(link).symlink_to(Path(file).resolve())
