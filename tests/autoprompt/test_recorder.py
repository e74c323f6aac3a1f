"""What the recorder makes of Tune's events; what it stores is tested with the searches."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from autoprompt.progress import SearchProgress
from autoprompt.recorder import Recorder
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
