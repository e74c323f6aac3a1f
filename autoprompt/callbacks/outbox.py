"""What is sent to a server beside a search, which never waits for it."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger("autoprompt.callbacks")

#: So much waits at most; what comes when that is full is not sent.
_MOST = 10_000

#: Between two tries while the server is away, in seconds: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0

#: So long the end of a search waits for what has not been sent, in seconds.
_PATIENCE = 30.0


class Outbox:
    """Work that a thread of its own carries out in order.

    While the server is away, work waits and is tried again; what the server refuses is dropped.
    Each of the two is said once, in a line of the log.

    Args:
        server: how lines speak of it; no secret is in what it gives.
        is_away: whether an error means that the server does not answer.
        reason: what to say of any other one.
    """

    def __init__(
        self,
        server: Callable[[], str],
        is_away: Callable[[Exception], bool],
        reason: Callable[[Exception], str],
    ) -> None:
        self._server = server
        self._is_away = is_away
        self._reason = reason
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(_MOST)
        self._closing = threading.Event()
        self._lost = 0
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._send, name="autoprompt-outbox", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None]) -> None:
        """Have some work done, which may be begun several times."""
        try:
            self._waiting.put_nowait(work)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Wait for what is left, as long as the server answers, and half a minute at most."""
        deadline = time.monotonic() + _PATIENCE
        self._closing.set()
        with suppress(queue.Full):
            self._waiting.put(None, timeout=_PATIENCE)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        lost = self._lost + self._waiting.qsize()
        if lost or self._thread.is_alive():
            log.warning("%s: not all of the search is there; the store has it", self._server())

    def _send(self) -> None:
        while (work := self._waiting.get()) is not None:
            if not self._carried_out(work):
                self._lost += 1
                return

    def _carried_out(self, work: Callable[[], None]) -> bool:
        """Whether the server took it or refused it; else it is away, and the search over."""
        pause, last = _FIRST_PAUSE, False
        while True:
            try:
                work()
            except Exception as error:
                if not self._is_away(error):
                    self._say(f"refuses some of what is logged: {self._reason(error)}")
                    self._lost += 1
                    return True
                self._say("does not answer; the search goes on, and what is to be logged waits")
                if last:
                    return False
                last = self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return True

    def _say(self, what: str) -> None:
        kind = what.split(";")[0].split(":")[0]
        if kind not in self._said:
            self._said.add(kind)
            log.warning("%s %s", self._server(), what)
