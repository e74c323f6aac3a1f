"""The folder for what is computed once and may be deleted at any time."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import platformdirs
from filelock import FileLock


def cache_folder() -> Path:
    """`AUTOPROMPT_CACHE`, else the platform's user cache."""
    return Path(os.environ.get("AUTOPROMPT_CACHE") or platformdirs.user_cache_path("autoprompt"))


#: The locks by which this process keeps folders in use, by folder.
_HELD: dict[Path, IO[str]] = {}


def hold(folder: Path) -> None:
    """Keep a folder of the cache in use until this process ends, so that nobody prunes it. Where no
    lock can be had, as on a disk that is only read, it is not."""
    if folder not in _HELD:
        with suppress(OSError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = lock_of(folder).open("a")
            fcntl.flock(lock, fcntl.LOCK_SH)
            _HELD[folder] = lock


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether no process has the folder in use; while this lasts, none begins to.

    Raises:
        OSError: its lock cannot be written.
    """
    with lock_of(folder).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def lock_of(folder: Path) -> Path:
    """The file by which processes have a folder in use."""
    return folder.with_name(f"{folder.name}.use")


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` the first time.

    Safe with several processes at once (a lock) and when killed half-way (the folder gets its name
    only when complete). It is in use from then on, until this process ends.
    """
    hold(folder)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return folder
        unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            make(unfinished)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        unfinished.replace(folder)
    return folder
