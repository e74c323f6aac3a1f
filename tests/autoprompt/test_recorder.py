"""What the recorder makes of Tune's events; what it stores is tested with the searches."""

import io
from pathlib import Path
from typing import Any

from ray.tune import PlacementGroupFactory
from ray.tune.experiment import Trial
from rich.console import Console

from autoprompt.controller.callbacks.store_writer import Recorder
from autoprompt.progress import SearchProgress
from autoprompt.store import Store


def test_why_trials_are_slow_is_told_once(tmp_path: Path) -> None:
    said = io.StringIO()
    progress = SearchProgress(Console(file=said, width=200))
    recorder = Recorder(Store.open(f"sqlite:///{tmp_path}/store.db"), 1, progress, hung={})
    trial: Any = None
    for slower in (None, "the text cache is not used", "the text cache is not used"):
        done = {"hostname": "here", "pid": 1, "models_loaded": 0, "texts_encoded": 0}
        result = {**done, "reports": [], "slower": slower}
        recorder.on_trial_result(0, [], trial, result)
    assert said.getvalue().count("slower than they might be: the text cache is not used") == 1


def test_little_is_kept_of_a_trial_that_is_over(tmp_path: Path) -> None:
    """Tune holds every trial of a search, and writes the state of each at the end."""
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    recorder = Recorder(store, 1, SearchProgress(quiet=True), hung={})
    trials = []
    for number in range(2):
        config = {"trials": [{"number": number, "plan": {"kind": "soft", "seed": number}}]}
        trial = Trial("none", stub=True, config=config, evaluated_params=dict(config))
        trial.placement_group_factory = PlacementGroupFactory([{"CPU": 1}])
        trial.run_metadata.last_result = {"reports": [{"score": 0.5}], "done": True}
        assert "seed" in trial.get_json_state()[0]
        recorder.on_trial_complete(0, [], trial)
        trials.append(trial)
    for trial in trials:
        assert not trial.evaluated_params
        assert trial.run_metadata.last_result == {"done": True}
        assert trial.get_json_state() == ("{}", "{}")
        assert trial.placement_group_factory is trials[0].placement_group_factory
