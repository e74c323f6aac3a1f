"""The demo as a newcomer runs it: a real model, real texts, Ray started by the command itself."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import autoprompt
from tests.conftest import DEMO, write_yaml

ROOT = DEMO.parent.parent


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, subprocess.CompletedProcess[str]]:
    """The demo's search with fewer trials, steps and texts, in a process of its own."""
    folder = tmp_path_factory.mktemp("demo")
    config: dict[str, Any] = yaml.safe_load((DEMO / "search.yaml").read_text(encoding="utf-8"))
    config["model"] = str(DEMO / config["model"])
    config["data"] |= {
        "path": str(DEMO / config["data"]["path"]),
        "sizes": {"train": 96, "validation": 64, "test": 150},
    }
    config["space"]["hard"] |= {"rounds": 2, "candidates": 3}
    config["search"] |= {"trials_per_worker": 2, "judging": 32, "seed": 0}
    # Nothing from an earlier run, so that what is counted below was done in this one.
    config["search"]["cache_gib_on_disk"] = 0
    path = write_yaml(folder / "search.yaml", config)
    url = f"sqlite:///{folder / 'demo.db'}"
    found = subprocess.run(
        [
            Path(sys.executable).with_name("autoprompt"),
            "search",
            path,
            "--trials",
            "4",
            "--db",
            url,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"RAY_AUTH_MODE": "token"},
        cwd=folder,
    )
    return url, found


def test_it_ends_with_all_it_promises(
    demo: tuple[str, subprocess.CompletedProcess[str]],
) -> None:
    _, found = demo
    assert found.returncode == 0, found.stderr
    for words in ("Leaderboard", "The prompts that vote", "Test: accuracy on 150", "Next:"):
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
