"""What a callback hears, and that nothing it does can hurt a search."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import autoprompt
from autoprompt.callbacks import (
    CALLBACKS,
    Callback,
    Conclusion,
    Listeners,
    TrialEnd,
    TrialReport,
    TrialStart,
)
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.store import SearchRecord, State, Store
from tests.conftest import write_yaml

REPORT = TrialReport(0, "soft", 1, 4, 0.5, 0.7, 0.8, 1.0, 2.0, "soft prompt")
START = TrialStart(0, "soft", {"soft.length": 2})
END = TrialEnd(0, "soft", State.COMPLETE, 0.5, 2.0, prompt="soft prompt")
CONCLUSION = Conclusion(0, 0.5, "soft prompt", b"", None, None, None)


class Heard(Callback):
    """Keeps what it hears; it ends every event by raising."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def _keep(self, name: str, argument: Any) -> None:
        self.events.append((name, argument))
        raise RuntimeError("of no use")

    def search_started(self, search: SearchRecord) -> None:
        self._keep("search_started", search)

    def trial_started(self, trial: TrialStart) -> None:
        self._keep("trial_started", trial)

    def trial_reported(self, trial: TrialReport) -> None:
        self._keep("trial_reported", trial)

    def trial_ended(self, trial: TrialEnd) -> None:
        self._keep("trial_ended", trial)

    def search_concluded(self, conclusion: Conclusion) -> None:
        self._keep("search_concluded", conclusion)

    def search_ended(self, search: SearchRecord) -> None:
        self._keep("search_ended", search)


def conforms(make: Any) -> None:
    """The suite that every callback passes: made without arguments, it takes every event."""
    callback = make()
    assert isinstance(callback, Callback)
    callback.trial_started(START)
    callback.trial_reported(REPORT)
    callback.trial_ended(END)
    callback.search_concluded(CONCLUSION)


@pytest.mark.parametrize("name", list(CALLBACKS))
def test_those_that_ship_conform(name: str) -> None:
    conforms(CALLBACKS[name])


def test_one_of_ones_own_is_added_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "callbacks_of_ours.py").write_text(
        "import autoprompt\n"
        "class Notify(autoprompt.Callback):\n"
        "    def trial_ended(self, trial):\n"
        "        print(trial.number)\n"
    )
    monkeypatch.chdir(tmp_path)
    conforms(CALLBACKS["callbacks_of_ours:Notify"])


def test_a_search_tells_everything_in_order_and_no_callback_can_end_it(
    tiny_config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_config["search"] |= {"trials": 3, "workers": 0}
    tiny_config["callbacks"] = ["log"]
    heard = Heard()
    caplog.set_level(logging.INFO, "autoprompt.callbacks")
    result = autoprompt.search(
        write_yaml(tmp_path / "search.yaml", tiny_config), callbacks=[heard], quiet=True
    )
    assert result.state == "finished"
    names = [name for name, _ in heard.events]
    assert names[0] == "search_started"
    assert names[-2:] == ["search_concluded", "search_ended"]
    assert heard.events[0][1].state == "running"
    assert heard.events[-1][1].state == "finished"
    ends = [trial for name, trial in heard.events if name == "trial_ended"]
    trials = result.trials
    assert [(end.number, end.state, end.score, end.prompt) for end in ends] == [
        (trial.number, trial.state, trial.score, trial.prompt) for trial in trials
    ]
    starts = [trial for name, trial in heard.events if name == "trial_started"]
    assert [(start.number, start.params, start.again) for start in starts] == [
        (trial.number, trial.params, False) for trial in trials
    ]
    conclusion = heard.events[-2][1]
    assert (conclusion.best, conclusion.test) == (result.best.number, result.test)
    assert conclusion.prompt == result.best_prompt.content
    reports = [trial for name, trial in heard.events if name == "trial_reported"]
    rungs = [(trial.number, rung) for trial in trials for rung in trial.rungs]
    assert [(one.number, one.rung, one.score) for one in reports] == [
        (number, rung.rung, rung.score) for number, rung in rungs
    ]
    assert all(one.gradient_norm and one.gradient_norm > 0 for one in reports)
    assert all(rung.gradient_norm for _, rung in rungs)
    logged = [record for record in caplog.records if record.name == "autoprompt.callbacks"]
    told = [name for name in names if name not in ("trial_started", "search_concluded")]
    assert len([record for record in logged if record.levelno == logging.INFO]) == len(told)
    assert len([record for record in logged if record.levelno == logging.ERROR]) == 1


def test_after_a_resume_trials_begin_again_and_what_had_ended_is_told(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    class Stop(Callback):
        def trial_reported(self, trial: TrialReport) -> None:
            # The first one's last rung, and the second one's first, are stored, and no end.
            if (trial.number, trial.rung) == (1, 1):
                raise KeyboardInterrupt

    tiny_config["search"] |= {"trials": 3}
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    with pytest.raises(KeyboardInterrupt):
        autoprompt.search(path, callbacks=[Stop()], quiet=True)
    store = Store.open(tiny_config["store"])
    search = store.find("tiny")
    reported = next(trial for trial in store.trials(search.id) if trial.state == State.COMPLETE)
    store._begin_attempt(search.id, reported.number, "as if its end had not been stored", 1)
    store.update_search(search.id, state=State.STOPPED)
    heard = Heard()
    result = autoprompt.resume("tiny", callbacks=[heard], db=tiny_config["store"], quiet=True)
    starts = [trial for name, trial in heard.events if name == "trial_started"]
    assert [(trial.number, trial.again) for trial in starts] == [(1, True), (2, False)]
    ends = [trial for name, trial in heard.events if name == "trial_ended"]
    trials = {trial.number: trial for trial in result.trials}
    assert [end.number for end in ends] == [reported.number, 1, 2]
    for end in ends:
        trial = trials[end.number]
        assert (end.state, end.score, end.prompt) == (trial.state, trial.score, trial.prompt)


def test_one_that_raises_is_named_once() -> None:
    said = io.StringIO()
    listeners = Listeners([Heard()], SearchProgress(Console(file=said, width=200)))
    listeners.tell("trial_reported", REPORT)
    listeners.tell("trial_ended", END)
    assert said.getvalue().count("callback Heard raised in trial_reported: RuntimeError") == 1
    assert "trial_ended" not in said.getvalue()


@pytest.mark.parametrize(
    ("section", "name", "message"),
    [
        ("callbacks", "lgo", "callbacks: no callback named 'lgo'; the nearest is log"),
        ("callbacks", "no_module:f", "callbacks: callback 'no_module:f' cannot be imported"),
        ("callbacks", "json:loads", "callbacks: json:loads could not be made: TypeError"),
        ("stopping", "ahsa", "search.stopping: no stopping rule named 'ahsa'; the nearest is asha"),
        ("stopping", "json:loads", "search.stopping: json:loads could not be made: TypeError"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_before_anything_starts(
    section: str, name: str, message: str, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    if section == "callbacks":
        tiny_config["callbacks"] = [name]
    else:
        tiny_config["search"]["stopping"] = name
    with pytest.raises(ConfigError, match=message):
        autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)
    assert not (tmp_path / "store.db").exists()
