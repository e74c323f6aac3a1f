"""Ctrl-C and SIGTERM: a search ends in order, and can go on later."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autoprompt.progress import SearchProgress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends a search as Ctrl-C does, rather than leaving it marked running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interruption:
    """The first Ctrl-C or SIGTERM asks for the end, the second insists on it.

    Attributes:
        requested: one has come while this was listening.
    """

    def __init__(self, progress: SearchProgress) -> None:
        self._progress = progress
        self._computing = False
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._interrupted) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Where nothing is lost if the first signal already raises `KeyboardInterrupt`."""
        self._computing = True
        try:
            yield
        finally:
            self._computing = False

    def _interrupted(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._progress.say("stopping the trials that run; Ctrl-C again stops at once ...")
        if self._computing:
            raise KeyboardInterrupt
