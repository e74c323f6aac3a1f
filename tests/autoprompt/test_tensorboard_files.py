"""Event files, read back by TensorBoard's own reader."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata

import autoprompt
from autoprompt.callbacks import Callback, TrialReport
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import ConfigError
from tests.conftest import write_yaml


@pytest.fixture
def config(tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOPROMPT_TENSORBOARD", str(tmp_path / "events"))
    tiny_config["search"] |= {"trials": 3}
    tiny_config["name"] = "tiny / with odd signs"
    tiny_config["callbacks"] = ["tensorboard"]
    return write_yaml(tmp_path / "search.yaml", tiny_config)


def read(folder: Path) -> dict[str, EventAccumulator]:
    """What TensorBoard finds in a folder, by run."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    return {name: runs.GetAccumulator(name) for name in runs.Runs()}


def holds(result: SearchResult, folder: Path) -> dict[str, EventAccumulator]:
    [own] = folder.iterdir()
    runs = read(folder)
    assert set(runs) == {
        own.name,
        *(f"{own.name}/trial-{trial.number:04}" for trial in result.trials),
    }
    for trial in result.trials:
        run = runs[f"{own.name}/trial-{trial.number:04}"]
        for name in ("score", "loss", "train_loss"):
            scalars = [(event.step, event.value) for event in run.Scalars(name)]
            assert scalars == [
                (rung.step, pytest.approx(getattr(rung, name))) for rung in trial.rungs
            ]
        begun = run.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        params = metadata.parse_session_start_info_plugin_data(begun).hparams
        assert set(params) == {"kind", *trial.params}
        assert params["kind"].string_value == trial.kind
        assert "_hparams_/session_end_info" in run.PluginTagToContent("hparams")
    return runs


def test_a_trial_is_a_run_and_a_rung_a_step(config: Path, tmp_path: Path) -> None:
    result = autoprompt.search(config, quiet=True)
    runs = holds(result, tmp_path / "events")
    [name] = [name for name in runs if "/" not in name]
    assert name.startswith("tiny-with-odd-signs-")
    scores = {event.step: event.value for event in runs[name].Scalars("score")}
    assert scores == {trial.number: pytest.approx(trial.score) for trial in result.trials}
    assert result.test is not None
    [ensemble] = runs[name].Scalars("test_ensemble")
    assert ensemble.value == pytest.approx(result.test["ensemble"]["score"])
    [prompt] = runs[name].Tensors("prompt/text_summary")
    assert prompt.tensor_proto.string_val[0].decode() == result.best_prompt.text


def test_a_search_that_is_resumed_goes_on_in_its_folder(
    config: Path, tmp_path: Path, tiny_config: dict[str, Any]
) -> None:
    class Stop(Callback):
        def trial_reported(self, trial: TrialReport) -> None:
            if (trial.number, trial.rung) == (1, 1):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        autoprompt.search(config, callbacks=[Stop()], quiet=True)
    holds(autoprompt.resume("latest", db=tiny_config["store"], quiet=True), tmp_path / "events")


@pytest.mark.parametrize("place", ["a file", "a folder in a file"])
def test_a_folder_that_cannot_be_is_refused_before_anything_starts(
    place: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("AUTOPROMPT_TENSORBOARD", str(file if place == "a file" else file / "runs"))
    with pytest.raises(
        ConfigError, match=r"cannot be a folder, as .*file is a file; set AUTOPROMPT"
    ):
        autoprompt.search(config, quiet=True)
    assert not (tmp_path / "store.db").exists()
