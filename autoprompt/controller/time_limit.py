"""A search's time limit, and how much of it the trials of a resumed one have used."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from autoprompt.controller.dispatch import Limit
from autoprompt.search_spaces.durations import shown_seconds
from autoprompt.store import TrialRecord


class TimeLimit(Limit):
    """Counts from when it is first asked, which is when the first trial may begin.

    Args:
        seconds: how long trials may be begun.
        used: how much of that is over already.
        clock: seconds that only rise.
    """

    def __init__(
        self, seconds: float, used: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._used = used
        self._clock = clock
        self._began: float | None = None

    def reached(self, ended: int) -> str | None:
        now = self._clock()
        if self._began is None:
            self._began = now
        if now - self._began + self._used < self._seconds:
            return None
        return f"its time limit of {shown_seconds(self._seconds)} was over"


def seconds_run(trials: Sequence[TrialRecord]) -> float:
    """For how long at least one of these trials was under way.

    Of one that began again, what it reported counts, as it may have waited in between; of one whose
    controller died, what it had reported.
    """
    spans = []
    for trial in trials:
        reported = timedelta(seconds=trial.seconds)
        if trial.finished_at is None:
            spans.append((trial.started_at, trial.started_at + reported))
        elif trial.attempts > 1:
            spans.append((trial.finished_at - reported, trial.finished_at))
        else:
            spans.append((trial.started_at, trial.finished_at))
    total, until = timedelta(), None
    for begin, end in sorted(spans):
        begin = begin if until is None else max(begin, until)
        total += max(end - begin, timedelta())
        until = end if until is None else max(end, until)
    return total.total_seconds()
