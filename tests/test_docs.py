"""The documentation says what the code does."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.search_spaces.documents import Document
from autoprompt.workers.metrics import METRICS
from docs.generate import PAGES
from tests.conftest import write_texts, write_yaml
from tests.tiny import TEXTS

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
    assert config.space.kinds == ("soft", "hard", "mixed", "kv")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_generated_is_up_to_date(page: str) -> None:
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == PAGES[page](), f"{page} is out of date: run `make docs` and commit it"


def blocks(page: str, language: str) -> list[str]:
    """What stands in a page's fenced blocks of a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_tutorials_commands_run(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the page in order, as written, on a model and texts that take seconds."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "examples" / "demo" / "data"
    data.mkdir(parents=True)
    for name in ("amazon", "movies", "tweets"):
        write_texts(data / f"{name}.csv")
    [written] = blocks("tutorial.md", "yaml")
    config = yaml.safe_load(written)
    config["model"] = {"path": str(tiny_folder), "dtype": "float32"}
    config["data"]["sizes"] = {"train": 24, "validation": 16, "test": 20}
    config["space"] = {"soft": {"length": [1, 2], "learning_rate": 0.05, "steps": 4}}
    config["search"] |= {"trials": 6, "workers": 0, "cache_gib_on_disk": 0}
    write_yaml(tmp_path / "reviews.yaml", config)
    lines = [line for block in blocks("tutorial.md", "sh") for line in block.splitlines()]
    assert sum(line.startswith("autoprompt ") for line in lines) >= 9
    for line in lines:
        words = shlex.split(line)
        if words[0] == "export":
            name, value = words[1].split("=", 1)
            monkeypatch.setenv(name, str(tiny_folder) if name == "AUTOPROMPT_MODEL" else value)
        elif words[0] == "autoprompt":
            result = CliRunner().invoke(main, words[1:])
            assert result.exit_code == 0, f"{line}: {result.output}"
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True)
        else:
            assert line == "source .venv/bin/activate"
    with open("labelled.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 112
    assert Path("reviews.html").is_file()


def test_the_tutorials_yaml_is_valid(tmp_path: Path) -> None:
    [written] = blocks("tutorial.md", "yaml")
    (tmp_path / "reviews.yaml").write_text(written, encoding="utf-8")
    config = SearchConfig.read(tmp_path / "reviews.yaml")
    assert config.ensemble.size == 3


def test_the_python_pages_code_runs(
    tiny_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPROMPT_DB", tiny_config["store"])
    monkeypatch.setenv("AUTOPROMPT_TABLES", str(tmp_path / "tables"))
    write_yaml(tmp_path / "search.yaml", tiny_config)
    names: dict[str, Any] = {"MODEL": tiny_config["model"]["path"]}
    for block in blocks("python-api.md", "python"):
        exec(compile(block, "docs/python-api.md", "exec"), names)  # noqa: S102 - our own page
    assert "no search" in capsys.readouterr().out.splitlines()[-1]
    assert {"prompts", "report.html"} <= set(os.listdir())


def test_the_documented_metric_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [written] = [each for each in blocks("configuration.md", "python") if "def cost(" in each]
    (tmp_path / "documented_costs.py").write_text(written, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    metric = METRICS["documented_costs:cost"]
    assert not metric.greater_is_better
    assert metric.score(np.array([0, 1, 1, 0]), np.array([1, 0, 1, 0])) == (5 + 1) / 4


def test_figures_repeated_elsewhere_were_measured() -> None:
    measured = [DOCS.parent / "README.md", DOCS / "benchmarks.md"]
    known = re.findall(r"\d+\.\d+", "".join(page.read_text(encoding="utf-8") for page in measured))
    page = (DOCS / "when-not.md").read_text(encoding="utf-8")
    repeated = re.findall(r"\d+\.\d+(?! points)", page.replace("\n", " "))
    assert len(repeated) > 10
    for figure in repeated:
        digits = len(figure.split(".")[1])
        assert figure in {f"{float(each):.{digits}f}" for each in known}, figure


@pytest.mark.parametrize(
    "page",
    [
        *(each.name for each in DOCS.parent.glob("*.md")),
        *(f"docs/{each.name}" for each in DOCS.glob("*.md")),
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    file = DOCS.parent / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (file.parent / link).exists(), link


def test_the_files_that_the_architecture_names_are_there() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z0-9_/]*(?:\.[a-z0-9]+)*)`", text)
    assert len(named) > 20
    assert [name for name in named if not (DOCS.parent / name).exists()] == []


def test_the_site_builds(tmp_path: Path) -> None:
    """With no link that leads nowhere, no page left out, and the reference made of docstrings."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    start = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="tutorial/"' in start
    assert "PromptClassifier" in (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")


def test_the_readmes_python_runs_as_printed(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, which finds a tiny model in the Hub's cache by the name there."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    [name] = re.findall(r'model="([^"]+)"', code)
    hub = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(tiny_folder, hub / "snapshots" / ("0" * 40))
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    teams = {"positive": "billing", "negative": "sales"}
    rows = [{"body": row["text"], "team": teams[row["label"]]} for row in TEXTS]
    write_texts(tmp_path / "tickets.csv", rows)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"HF_HUB_CACHE": str(tmp_path / "hub"), "AUTOPROMPT_TABLES": str(tmp_path / "tables")}
        | {"PYTHONPATH": str(DOCS.parent), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "label='billing'" in done.stdout or "label='sales'" in done.stdout
    assert (tmp_path / "tickets.html").is_file()


def test_every_environment_variable_is_told() -> None:
    root = DOCS.parent
    files = [
        file
        for name in ("autoprompt", "search_spaces", "workers")
        for file in (root / name).rglob("*")
    ]
    code = "".join(
        file.read_text(encoding="utf-8") for file in files if file.suffix in (".py", ".j2")
    )
    read = set(re.findall(r"(?<!_)\bAUTOPROMPT_[A-Z_]+", code))
    told = set(
        re.findall(r"AUTOPROMPT_[A-Z_]+", (DOCS / "environment.md").read_text(encoding="utf-8"))
    )
    assert told == read
