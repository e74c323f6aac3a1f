"""Who is told of a search's events."""

import logging
from collections.abc import Sequence
from typing import Any

from autoprompt.callbacks.callback import Callback
from autoprompt.progress import SearchProgress

log = logging.getLogger("autoprompt.callbacks")


class Listeners:
    """Calls every callback; one that raises is named once, and the search goes on."""

    def __init__(self, callbacks: Sequence[Callback], progress: SearchProgress) -> None:
        self._callbacks = tuple(callbacks)
        self._progress = progress
        self._named: set[int] = set()

    def tell(self, event: str, argument: Any) -> None:
        """Call each one's method of that name."""
        for position, callback in enumerate(self._callbacks):
            try:
                getattr(callback, event)(argument)
            except Exception as error:
                if position not in self._named:
                    self._named.add(position)
                    name = type(callback).__name__
                    log.exception("callback %s raised in %s", name, event)
                    self._progress.say(
                        f"callback {name} raised in {event}: {type(error).__name__}: {error}; "
                        "the search goes on, and does not say so again"
                    )
