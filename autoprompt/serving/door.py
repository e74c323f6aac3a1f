"""Who goes in while the model is free: all that waits together, so that it is one batch."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Door:
    """Lets in as many texts as a batch holds, first come, first served, while nothing is computed.

    Ray Serve closes a batch a few milliseconds after its first request, whether the model can take
    it or not: without this, whatever came while the model computed would be batches of one.
    """

    def __init__(self, room: int, seconds: float) -> None:
        """A door that is open.

        Args:
            room: texts of a batch, at most.
            seconds: that a batch should take at most: of a model that is slow, fewer texts go in,
                as all of them wait for the last one's answer.
        """
        self._most = self._room = room
        self._seconds = seconds
        self._inside = 0
        self._computing = False
        self._changed = asyncio.Condition()

    async def enter(self, texts: int) -> None:
        """Return when it is this request's turn; whoever has entered is computed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_open(texts))
            self._inside += texts

    @asynccontextmanager
    async def closed(self, texts: int) -> AsyncIterator[None]:
        """While a batch of so many texts that have entered is computed."""
        self._computing, started = True, time.monotonic()
        try:
            yield
        finally:
            pace = texts / max(time.monotonic() - started, 1e-6)
            self._room = min(self._most, max(1, int(pace * self._seconds)))
            async with self._changed:
                self._inside -= texts
                self._computing = False
                self._changed.notify_all()

    def _is_open(self, texts: int) -> bool:
        return not self._computing and (not self._inside or self._inside + texts <= self._room)
