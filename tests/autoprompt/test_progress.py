"""What a search says while it runs."""

import io
import os
import re
import sys

import pytest
from rich.console import Console

from autoprompt.progress import SearchProgress, clock
from autoprompt.store import State
from autoprompt.workers.direction import DOWN


def said(progress: SearchProgress) -> list[str]:
    file = progress.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_a_line_a_trial_with_the_best_and_the_time_left() -> None:
    progress = SearchProgress(Console(file=io.StringIO(), highlight=False))
    with progress.trials(total=4, workers=2):
        progress.trial_reported(0, 0.5)
        progress.trial_reported(1, 0.75)
        progress.trial_ended(1, "soft", "complete", "0.7500", seconds=60)
        progress.trial_ended(0, "hard", "failed", "it broke [/nothing]", seconds=20)
        progress.trial_reported(2, 0.7)
        progress.trial_ended(2, "soft", "pruned", "0.7000", seconds=40)
        progress.trial_ended(3, "soft", "pruned", "0.6000", seconds=40)
    first, second, _, last = said(progress)
    assert "[1/4, best 0.7500 (trial 1), about 2:00 left]" in first
    assert "it broke [/nothing]" in second, "text from the data is not markup"
    assert "about 0:40 left" in second
    assert "[4/4, best 0.7500 (trial 1)]" in last


def test_where_less_is_better_the_least_is_shown_as_best() -> None:
    progress = SearchProgress(Console(file=io.StringIO(), highlight=False))
    progress.direction = DOWN
    with progress.trials(total=2, workers=1):
        progress.trial_reported(0, -0.4)
        progress.trial_reported(1, -0.3)
        progress.trial_ended(1, "soft", "complete", progress.shown(-0.3), seconds=60)
    (line,) = said(progress)
    assert "0.3000  60 s" in line
    assert "best 0.3000 (trial 1)" in line


def test_a_terminal_gets_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    progress = SearchProgress(console)
    with progress.trials(total=2, workers=1):
        progress.trial_reported(0, 0.5)
        progress.trial_ended(0, "soft", "complete", "0.5", seconds=1)
        assert progress._bar is not None
        progress._bar.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "\n".join(said(progress)))
    assert "1/2" in plain
    assert "best 0.5000 (trial 0)" in plain


def test_quiet_says_nothing() -> None:
    progress = SearchProgress(quiet=True)
    with progress.console.capture() as capture, progress.step("waiting"):
        progress.say("a word")
    assert capture.get() == ""


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3725)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:02:05",
    ]


def test_a_search_outlives_the_reader_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        progress = SearchProgress()
        with progress.step("reading the data"), progress.trials(total=1, workers=1):
            progress.trial_ended(0, "soft", State.COMPLETE, "0.5000", 1.0)
        progress.say("finished")
