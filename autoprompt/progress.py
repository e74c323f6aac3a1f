"""What a search says while it runs, on stderr: a bar on a terminal, a line a trial in a log."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from autoprompt.store import State, TrialRecord
from autoprompt.workers.direction import UP

#: Between two lines of a count, in seconds.
_TALLY_SECONDS = 10


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class SearchProgress:
    """Trials done, best so far, time left.

    Attributes:
        direction: of the search's metric. Scores come oriented by it, and are shown natural.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        file: Any = _Log(sys.stderr)
        self.console = console or Console(file=file, quiet=quiet, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = 0
        self._workers = 1
        self._done = 0
        self._seconds = 0.0
        self._best: tuple[float, int] | None = None
        self.direction = UP

    def shown(self, score: float) -> str:
        """An oriented score as it is shown."""
        return f"{self.direction.natural(score):.4f}"

    def say(self, message: str) -> None:
        """One line."""
        self.console.print(Text(message), soft_wrap=True)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Something that takes a while: said when it starts, timed when it ends."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(Text(f"{what} ...")):
                yield
        else:
            self.say(f"{what} ...")
            yield
        elapsed = time.monotonic() - started
        if elapsed > 2 or self.console.is_terminal:
            self.say(f"{what}: done in {clock(elapsed)}")

    @contextmanager
    def counting(
        self, what: str, total: int | None, beside_stdout: bool = False
    ) -> Iterator[Callable[[int], None]]:
        """How many things are done: a bar on a terminal, else a line now and then.

        What it yields takes how many more are done.

        Args:
            total: how many there will be, where that is known.
            beside_stdout: a terminal that shows the things themselves is left to them.
        """
        if beside_stdout and sys.stdout.isatty():
            yield lambda done: None
            return
        if not self.console.is_terminal:
            yield _Tally(self, what, total).add
            return
        columns = (TextColumn(f"[bold]{what}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)

    @contextmanager
    def trials(self, total: int, workers: int, ended: Sequence[TrialRecord] = ()) -> Iterator[None]:
        """While trials run, `workers` at a time: the bar. `ended` did so before a resume."""
        self._total, self._workers = total, workers
        self._done = len(ended)
        self._seconds = sum(trial.seconds for trial in ended)
        for trial in ended:
            if trial.score is not None and trial.state != State.FAILED:
                self.trial_reported(trial.number, trial.score)
        if not self.console.is_terminal:
            yield
            return
        columns = (
            TextColumn("[bold]trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            self._bar = bar
            self._task = bar.add_task("waiting for the first rung", total=total)
            yield
        self._bar = None

    def trial_reported(self, number: int, score: float) -> None:
        """A trial reached a rung."""
        if self._best is None or score > self._best[0]:
            self._best = (score, number)
        self._refresh()

    def trial_ended(
        self, number: int, kind: str, state: State, detail: str, seconds: float
    ) -> None:
        """A trial ended; `detail` is its score, or why it failed."""
        self._done += 1
        self._seconds += seconds
        self.say(
            f"trial {number:>3}  {kind:<4}  {state:<8}  {detail}  {seconds:.0f} s  {self._sum()}"
        )
        self._refresh()

    def _sum(self) -> str:
        best = "no score yet"
        if self._best:
            best = f"best {self.shown(self._best[0])} (trial {self._best[1]})"
        left = ""
        if 0 < self._done < self._total:
            mean = self._seconds / self._done
            rounds = math.ceil((self._total - self._done) / self._workers)
            left = f", about {clock(mean * rounds)} left"
        return f"[{self._done}/{self._total}, {best}{left}]"

    def _refresh(self) -> None:
        if self._bar is not None and self._task is not None:
            text = self._sum().strip("[]").split(", ", 1)[-1]
            self._bar.update(self._task, completed=self._done, description=text)


class _Log:
    """Stderr for as long as it can be written to: a search does not end because its reader has, as
    in `2>&1 | head` or where a terminal is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._lasting():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._lasting():
            self._stream.flush()

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is still in a buffer, and what libraries write later, has to go somewhere, too.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class _Tally:
    """A count, said now and then."""

    def __init__(self, progress: SearchProgress, what: str, total: int | None) -> None:
        self._progress = progress
        self._what = what
        self._of = "" if total is None else f" of {total}"
        self._done = 0
        self._started = self._said = time.monotonic()

    def add(self, done: int) -> None:
        self._done += done
        now = time.monotonic()
        if now - self._said >= _TALLY_SECONDS:
            self._said = now
            pace = self._done / (now - self._started)
            rate = f", {pace:.0f} a second" if pace >= 1 else ""
            self._progress.say(f"{self._what}: {self._done}{self._of}{rate}")
