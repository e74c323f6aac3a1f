"""What tests share: a tiny model with random weights, the demo's real one, and one Ray."""

import csv
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

# Before anything imports Ray or transformers.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import ray
import torch
import yaml

from autoprompt.api import load
from autoprompt.results import SearchResult
from autoprompt.search_spaces import Space
from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.data import Split
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.wording import Wording
from tests.postgresql import PostgreSql
from tests.tiny import TEXTS, save_tiny_model

DEMO = Path(__file__).parent.parent / "examples" / "demo"
DEMO_MODEL = DEMO / "model" / "SmolLM2-135M-Instruct.Q4_1.gguf"
DEMO_DATA = DEMO / "data" / "movies.csv"
DEMO_TASK = TaskSpec(
    template="Review: {text}\nSentiment:",
    label_words={"negative": ("negative",), "positive": ("positive",)},
)

torch.set_num_threads(1)


def labels_of(names: Sequence[str]) -> Answers:
    """Labels that are their own words."""
    return answers_of(Wording(label_words={name: (name,) for name in names}))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> FrozenModel:
    return load_model(ModelSpec(path=str(tiny_folder), dtype="float32"))


@pytest.fixture(scope="session")
def tiny_task(tiny_model: FrozenModel) -> Task:
    return build_task(DEMO_TASK, tiny_model.tokenizer)


@pytest.fixture
def tiny_scorer(tiny_model: FrozenModel, tiny_task: Task) -> Scorer:
    return Scorer(tiny_model, tiny_task, longest_prompt=8)


@pytest.fixture(scope="session")
def real_spec() -> ModelSpec:
    return ModelSpec(path=str(DEMO_MODEL))


@pytest.fixture(scope="session")
def real_model(real_spec: ModelSpec) -> FrozenModel:
    return load_model(real_spec.model_copy(update={"dtype": "float32"}))


@pytest.fixture(scope="session")
def movies() -> Split:
    """400 of the demo's movie snippets, half of each label, shuffled."""
    with DEMO_DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(7).shuffle(rows)
    chosen = [
        row
        for label in DEMO_TASK.label_words
        for row in [each for each in rows if each["label"] == label][:200]
    ]
    random.Random(8).shuffle(chosen)
    labels = list(DEMO_TASK.label_words)
    return Split(
        tuple(row["text"] for row in chosen), tuple(labels.index(row["label"]) for row in chosen)
    )


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    server = PostgreSql()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: a test that takes it runs on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.database()


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """One Ray of two cores that searches join, instead of starting their own."""
    import autoprompt.controller.ray_cluster  # noqa: F401 - its settings come before Ray's start

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def tiny_config(tiny_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """A search that runs in seconds, as the YAML would say it; the data lies in `tmp_path`.

    It runs in the process that searches; whatever is about Ray asks for workers.
    """
    write_texts(tmp_path / "texts.csv")
    return {
        "name": "tiny",
        "model": {"path": str(tiny_folder), "dtype": "float32"},
        "data": {
            "path": "texts.csv",
            "sizes": {"train": 24, "validation": 16, "test": 20},
        },
        "task": DEMO_TASK.model_dump(),
        "space": {
            "soft": {
                "length": {"low": 1, "high": 4},
                "init": ["random", "vocabulary"],
                "learning_rate": {"low": 0.01, "high": 0.1, "log": True},
                "steps": 8,
                "batch_size": 4,
            },
            "hard": {
                "tokens": [2, 3],
                "start": "in short",
                "candidates": 4,
                "rounds": 4,
                "batch_size": 4,
            },
        },
        "search": {"trials": 6, "workers": 0, "seed": 3, "cache_gib_on_disk": 0},
        "ensemble": {"size": 3},
        "store": f"sqlite:///{tmp_path / 'store.db'}",
    }


@pytest.fixture(scope="session")
def finished_db(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one finished search: prompts of every kind, before and after the text."""
    import autoprompt

    folder = tmp_path_factory.mktemp("finished")
    write_texts(folder / "texts.csv")
    config = {
        "name": "finished",
        "model": {"path": str(tiny_folder), "dtype": "float32"},
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": {
            "template": DEMO_TASK.template,
            "label_words": {"negative": ["negative", "a mess"], "positive": "positive"},
            "label_scoring": "mean",
        },
        "space": {
            "soft": {
                "length": [1, 3],
                "learning_rate": {"low": 0.01, "high": 0.1, "log": True},
                "steps": 4,
                "batch_size": 4,
                "position": ["prefix", "suffix"],
                "calibration": ["none", "content_free"],
            },
            "hard": {
                "tokens": [2, 3],
                "start": "in short",
                "rounds": 2,
                "batch_size": 4,
                "position": ["prefix", "suffix"],
            },
        },
        "search": {"trials": 12, "workers": 0, "seed": 0, "rungs": 1, "cache_gib_on_disk": 0},
        "ensemble": {"size": 3},
    }
    url = f"sqlite:///{folder / 'store.db'}"
    autoprompt.search(write_yaml(folder / "finished.yaml", config), db=url, quiet=True)
    return url


@pytest.fixture
def finished(finished_db: str) -> SearchResult:
    return load(db=finished_db)


@pytest.fixture
def space() -> Space:
    return Space.model_validate(
        {
            "soft": {
                "length": {"low": 1, "high": 16, "log": True},
                "init": ["random", "labels", "text"],
                "init_text": ["the mood is", "all in all"],
                "learning_rate": {"low": 0.001, "high": 0.3, "log": True},
                "steps": [10, 20],
            },
            "hard": {"tokens": {"low": 2, "high": 6}, "start": ["a", "b"], "rounds": 4},
        }
    )


def copy_store(url: str, folder: Path) -> str:
    """A copy of a SQLite store, in `folder`: what is done to it is no one else's business."""
    copied = folder / "store.db"
    with (
        closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as source,
        closing(sqlite3.connect(copied)) as copy,
    ):
        source.backup(copy)
    return f"sqlite:///{copied}"


def write_texts(path: Path, rows: list[dict[str, str]] | None = None) -> Path:
    """A CSV of labelled texts: 120 made ones unless rows are given."""
    rows = TEXTS if rows is None else rows
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_yaml(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
