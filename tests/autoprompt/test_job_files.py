"""What travels with a job lies in the job's folder, and is found again there."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from autoprompt.config import SearchConfig
from autoprompt.preparation.job_files import FOLDER, VARIABLE, pack, travelled, unpacked
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data import load_splits
from autoprompt.workers.data_spec import Paths
from autoprompt.workers.tuners import tune
from autoprompt.workers.workbench import Workbench
from tests.conftest import labels_of, write_yaml


@pytest.mark.parametrize("up", [1, 2, 40])
def test_a_way_up_in_a_path_stays_in_the_jobs_folder(
    up: int, tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty lead to the root, however deep the test's folder lies."""
    base, job = tmp_path / "my" / "searches", tmp_path / "jobs" / "one"
    base.mkdir(parents=True)
    job.mkdir(parents=True)
    below = tmp_path.relative_to("/") if up == 40 else {1: "..", 2: "."}[up]
    data = Path(*[".."] * up, below, "texts.csv")
    tiny_config["data"]["path"] = str(data)
    config = SearchConfig.read(write_yaml(base / "search.yaml", tiny_config))
    before = {path for path in tmp_path.rglob("*") if job not in path.parents}
    assert pack(config, None, job) == []
    assert {path for path in tmp_path.rglob("*") if job not in path.parents} == before

    here = load_splits(config.data, labels_of(("negative", "positive")), base, 3)
    (tmp_path / "texts.csv").unlink()
    monkeypatch.setenv(VARIABLE, str(job / FOLDER))
    there = unpacked(SearchConfig.read(job / "search.yaml"))
    assert Path(str(there.data.path)).resolve().is_relative_to(job)
    assert load_splits(there.data, labels_of(("negative", "positive")), base, 3) == here


def test_paths_that_differ_in_their_ways_up_keep_a_file_each(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may be called as the one that stands for `..` in a job."""
    names = {"train": "a/../train.csv", "validation": "a/.._/train.csv", "test": "a/..__/train.csv"}
    (tmp_path / "job").mkdir()
    for name, path in names.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(name)
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    config = config.with_paths(Paths(**names), config.model.path)
    pack(config, None, tmp_path / "job")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "job" / FOLDER))
    there = unpacked(SearchConfig.read(tmp_path / "job" / "search.yaml")).data.path
    assert isinstance(there, Paths)
    for name in names:
        path = Path(getattr(there, name))
        assert path.is_relative_to(tmp_path / "job")
        assert path.read_text() == name


def test_the_models_adapter_travels(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "adapter_config.json").write_text("{}")
    (tmp_path / "job").mkdir()
    tiny_config["model"]["adapter"] = "tuned"
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    assert pack(config, None, tmp_path / "job") == []
    (tmp_path / "tuned" / "adapter_config.json").unlink()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "job" / FOLDER))
    adapter = unpacked(SearchConfig.read(tmp_path / "job" / "search.yaml")).model.adapter
    assert (Path(str(adapter)) / "adapter_config.json").read_text() == "{}"


def test_the_model_that_rewrites_travels_and_writes_where_the_job_runs(
    tiny_config: dict[str, Any],
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = tmp_path / "writer"
    shutil.copytree(tiny_folder, writer)
    (tmp_path / "job").mkdir()
    hard = tiny_config["space"]["hard"] | {"searcher": "rewriting", "writer": "writer"}
    tiny_config["space"] = {"hard": hard}
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    assert pack(config, None, tmp_path / "job") == []
    shutil.rmtree(writer)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "job" / FOLDER))
    there = prepare(SearchConfig.read(tmp_path / "job" / "search.yaml"), SearchProgress(quiet=True))
    # Plans, which the store keeps, name the place on the machine it came from.
    assert there.config.writer == str(writer)
    plan = HardPlan(
        seed=1,
        searcher="rewriting",
        writer=str(writer),
        start="in short",
        candidates=2,
        rounds=1,
        batch_size=8,
    )
    scorer, examples, _ = Workbench(there.job).seat(plan)
    [written] = tune(plan, scorer, examples, (1.0,))
    assert written.ended


def test_a_rewriting_model_of_the_hub_is_named_as_it_is(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    hard = {"searcher": "rewriting", "writer": "someone/writes"}
    tiny_config["space"]["hard"] |= hard
    (tmp_path / "job").mkdir()
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    assert pack(config, None, tmp_path / "job") == []
    assert SearchConfig.read(tmp_path / "job" / "search.yaml").writer == "someone/writes"


def test_the_prompt_to_start_from_travels(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "searches").mkdir()
    (tmp_path / "job").mkdir()
    earlier = tmp_path / "mine.safetensors"
    earlier.write_text("vectors")
    tiny_config["space"]["soft"] |= {"init": "prompt", "init_prompt": "../mine.safetensors"}
    tiny_config["data"]["path"] = "../texts.csv"
    config = SearchConfig.read(write_yaml(tmp_path / "searches" / "search.yaml", tiny_config))
    assert pack(config, None, tmp_path / "job") == []
    there = SearchConfig.read(tmp_path / "job" / "search.yaml")
    # The name, which the store keeps, is the file's place on the machine it came from.
    [name] = there.prompt_files.values()
    assert name == str(tmp_path / "searches" / ".." / "mine.safetensors")
    earlier.unlink()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "job" / FOLDER))
    assert travelled(Path(name)).read_text() == "vectors"
    with pytest.raises(DataError, match=r"mine.safetensors: no such file"):
        pack(config, None, tmp_path / "job")


def test_a_users_own_modules_travel_to_lie_beside_the_configuration(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "own" / "scores" / "__pycache__").mkdir(parents=True)
    for file in ("ours.py", "scores/__init__.py", "scores/costs.py", "scores/__pycache__/x.pyc"):
        (tmp_path / "own" / file).write_text("# ours")
    tiny_config |= {"modules": "own", "callbacks": ["ours:Told"]}
    tiny_config["task"]["metric"] = "scores.costs:cost"
    (tmp_path / "job").mkdir()
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    assert pack(config, None, tmp_path / "job") == []
    job = {str(path.relative_to(tmp_path / "job")) for path in (tmp_path / "job").rglob("*.py*")}
    assert job == {"ours.py", "scores/__init__.py", "scores/costs.py"}
    there = SearchConfig.read(tmp_path / "job" / "search.yaml")
    assert there.module_folders == (str(tmp_path / "own"), str(tmp_path / "job"))
