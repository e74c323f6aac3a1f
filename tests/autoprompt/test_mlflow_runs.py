"""A search in a real MLflow: what is logged is what the store has, and an MLflow that is away costs
a search nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from safetensors import safe_open

import autoprompt
from autoprompt.callbacks import Callback, TrialReport, mlflow_runs, outbox
from autoprompt.callbacks.outbox import Outbox
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import ConfigError
from tests.conftest import write_yaml
from tests.local_server import free_port
from tests.ray_head import wait_for
from tests.tracker import Door, Tracker

TOKEN = "not-for-anybody's-eyes"


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    tracker = Tracker(tmp_path_factory.mktemp("mlflow"))
    yield tracker
    tracker.stop()


@pytest.fixture
def config(tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search of four trials that MLflow is told of, as the user ana, with a token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    monkeypatch.setenv("AUTOPROMPT_OWNER", "ana")
    for name, value in mlflow_runs.SHORT.items():
        monkeypatch.setenv(name, value)
    tiny_config["search"] |= {"trials": 4}
    return write_yaml(
        tmp_path / "search.yaml", tiny_config | {"callbacks": ["mlflow"], "tags": ["a", "weekly"]}
    )


def told(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(None)


def runs(tracker: Tracker, experiment: str) -> tuple[Run, dict[int, Run]]:
    """The search's run, which is the only one without a parent, and its children by trial."""
    client = MlflowClient(tracker.uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    every = client.search_runs([found.experiment_id])
    [parent] = [run for run in every if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in every if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parent.info.run_id}
    numbers = [int(run.data.tags["autoprompt.trial"]) for run in children]
    assert len(set(numbers)) == len(numbers)
    return parent, dict(zip(numbers, children, strict=True))


def holds(result: SearchResult, tracker: Tracker, experiment: str) -> tuple[Run, dict[int, Run]]:
    """See that MLflow has what the store has of the trials."""
    client = MlflowClient(tracker.uri)
    parent, children = runs(tracker, experiment)
    assert sorted(children) == [trial.number for trial in result.trials]
    for trial in result.trials:
        run = children[trial.number]
        assert run.info.status == "FINISHED"
        assert run.data.tags["autoprompt.state"] == trial.state
        assert run.data.params.keys() == trial.params.keys()
        for name in ("score", "loss", "train_loss"):
            history = client.get_metric_history(run.info.run_id, name)
            logged = [(each.step, each.value) for each in sorted(history, key=lambda one: one.step)]
            assert logged == [(rung.step, getattr(rung, name)) for rung in trial.rungs]
        assert client.list_artifacts(run.info.run_id)[0].path == "prompt.txt"
    history = client.get_metric_history(parent.info.run_id, "score")
    assert {each.step: each.value for each in history} == {
        trial.number: trial.score for trial in result.trials
    }
    return parent, children


def test_a_search_is_a_run_and_its_trials_are_its_children(
    config: Path,
    tmp_path: Path,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told(tracker.uri, monkeypatch)
    result = autoprompt.search(config, quiet=True)
    parent, children = holds(result, tracker, tmp_path.name)
    assert not [one for one in caplog.records if one.name == "autoprompt.callbacks"]
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "tiny"
    assert parent.data.params["search.trials"] == "4"
    assert parent.data.params["task.template"] == result.config.task.template
    tags = parent.data.tags
    assert (tags["mlflow.user"], tags["autoprompt.tags"]) == ("ana", "a weekly")
    assert tags["autoprompt.version.data"] == result.record.versions["data"]
    assert result.test is not None
    assert parent.data.metrics["best_score"] == result.best.score
    for name in ("no_prompt", "best", "ensemble"):
        assert parent.data.metrics[f"test_{name}"] == result.test[name]["score"]
        assert parent.data.metrics[f"test_{name}_low"] == result.test[name]["low"]

    client = MlflowClient(tracker.uri)
    files = Path(client.download_artifacts(parent.info.run_id, "", str(tmp_path)))
    assert (files / "prompt.txt").read_text() == result.best_prompt.text
    assert (files / "prompt.safetensors").read_bytes() == result.best_prompt.content
    with safe_open(files / "prompt.safetensors", "pt") as file:
        assert "prompt" in file.metadata()
    assert json.loads((files / "test.json").read_text()) == result.test

    hard = next(trial for trial in result.leaderboard if trial.kind == "hard")
    prompt = client.load_prompt("prompts:/tiny@latest")
    assert prompt is not None
    assert hard.prompt is not None
    assert hard.prompt in prompt.template
    assert "Review: {{text}}" in prompt.template
    assert f"trial {hard.number} " in prompt.commit_message
    of_hard = client.download_artifacts(children[hard.number].info.run_id, "prompt.txt")
    assert Path(of_hard).read_text() == hard.prompt

    kept = [tracker.database, tmp_path / "store.db"]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_a_search_that_is_resumed_goes_on_with_its_runs(
    config: Path, tmp_path: Path, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Callback):
        def trial_reported(self, trial: TrialReport) -> None:
            if (trial.number, trial.rung) == (1, 1):
                raise KeyboardInterrupt

    told(tracker.uri, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        autoprompt.search(config, callbacks=[Stop()], quiet=True)
    parent, children = runs(tracker, tmp_path.name)
    assert (parent.info.status, children[1].info.status) == ("KILLED", "KILLED")
    assert children[1].data.tags["autoprompt.state"] == "stopped"
    db = f"sqlite:///{tmp_path / 'store.db'}"
    result = autoprompt.resume("tiny", db=db, quiet=True)
    again, _ = holds(result, tracker, tmp_path.name)
    assert again.info.run_id == parent.info.run_id
    assert (again.info.status, again.data.tags["autoprompt.state"]) == ("FINISHED", "finished")


def test_a_tracker_that_is_away_is_named_once_and_the_search_goes_on(
    config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told(f"http://ana:{TOKEN}@127.0.0.1:{free_port()}", monkeypatch)
    result = autoprompt.search(config, quiet=True)
    assert result.state == "finished"
    said = [one.getMessage() for one in caplog.records if one.name == "autoprompt.callbacks"]
    assert len(said) == 2
    assert "MLflow at http://127.0.0.1:" in said[0]
    assert "does not answer; the search goes on" in said[0]
    assert "not all of the search is there" in said[1]
    assert TOKEN not in caplog.text


def test_what_a_tracker_missed_reaches_it_when_it_comes_back(
    config: Path,
    tmp_path: Path,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door(tracker.port)

    class Opens(Callback):
        def trial_reported(self, trial: TrialReport) -> None:
            if trial.number == 2 and trial.rung == 1:
                wait_for(lambda: "does not answer" in caplog.text, 120, "the warning")
                door.open()

    told(door.uri, monkeypatch)
    result = autoprompt.search(config, callbacks=[Opens()], quiet=True)
    holds(result, tracker, tmp_path.name)
    assert caplog.text.count("does not answer") == 1
    assert "not all of the search" not in caplog.text


def test_what_is_refused_is_said_once_and_the_rest_arrives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[int] = []

    def refused() -> None:
        raise ValueError("no")

    box = Outbox(lambda: "a server", lambda error: False, lambda error: type(error).__name__)
    for number in range(3):
        box.put(refused)
        box.put(lambda number=number: done.append(number))
    box.close()
    assert done == [0, 1, 2]
    assert caplog.text.count("refuses some of what is logged: ValueError") == 1
    assert caplog.text.count("not all of the search is there") == 1


def test_a_full_outbox_takes_no_more_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_MOST", 2)
    monkeypatch.setattr(outbox, "_PATIENCE", 0.2)

    def away() -> None:
        raise ConnectionError

    box = Outbox(lambda: "a server", lambda error: True, lambda error: "")
    for _ in range(10):
        box.put(away)
    box.close()
    assert "not all of the search is there" in caplog.text


def test_without_mlflow_the_extra_is_named(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"callbacks: needs mlflow; install 'autoprompt-search\["):
        autoprompt.search(config, quiet=True)
    assert not (tmp_path / "store.db").exists()
