"""A search has one controller at a time: the process whose heartbeat its row shows."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import SearchRecord, State, Store

HEARTBEAT_SECONDS = 2.0
#: A search that is marked running and shows no heartbeat for so long has lost its controller.
SILENCE_SECONDS = 12.0


@contextmanager
def claimed(store: Store, search: SearchRecord) -> Iterator[None]:
    """Make the search this process's own, and let its heart beat.

    A controller that was silent for too long and comes back is refused its next write.

    Args:
        search: as it was last looked at; a sign of life since then is another process's.

    Raises:
        BadInputError: another process runs it.
    """
    controller = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    if not store.claim_search(search.id, controller, search.heartbeat_at):
        raise _running(store.find(str(search.id)))
    stopped = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, search.id, stopped), daemon=True)
    heart.start()
    try:
        yield
    finally:
        stopped.set()


def _beat(store: Store, search_id: int, stopped: threading.Event) -> None:
    while not stopped.wait(HEARTBEAT_SECONDS):
        try:
            if not store.beat(search_id):
                return
        except Exception:  # noqa: S112 - the database is away: the next write will tell
            continue


def refuse_if_alive(store: Store, search: SearchRecord, progress: SearchProgress) -> None:
    """Look at a search that is marked running for as long as its controller may be silent.

    Clocks of several hosts are never compared: a heartbeat changes while one looks, or it does not.

    Raises:
        BadInputError: it does.
    """
    if search.state != State.RUNNING or search.controller is None:
        return
    what = f"search {search.name!r} was run by {_place(search)}: seeing if it still is"
    with progress.step(what):
        deadline = time.monotonic() + SILENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(HEARTBEAT_SECONDS / 4)
            now = store.find(str(search.id))
            if now.heartbeat_at != search.heartbeat_at:
                raise _running(now)


def _running(search: SearchRecord) -> BadInputError:
    return BadInputError(
        f"search {search.name!r} is being run by {_place(search)}; "
        f"`autoprompt show {search.name}` shows how far it is"
    )


def _place(search: SearchRecord) -> str:
    host, pid, _ = (search.controller or "::").rsplit(":", 2)
    return f"process {pid} on {host}"
