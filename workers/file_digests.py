"""SHA-256 over every byte of a model's files, computed once.

A model's files are gigabytes, so a digest is remembered in the cache folder, by the file's path,
size and time of change. Forgetting one costs hashing it again, so the memory is no more careful
than that: it is replaced as a whole, a damaged one is ignored, and of two processes that write it
at once the later one wins.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from autoprompt.workers.cache_folder import cache_folder

#: What takes a line of progress.
Say = Callable[[str], None]

_CHUNK = 4 << 20

#: Seconds of hashing that pass without a word.
_PATIENCE = 2.0

#: A file that changed so few seconds ago may change again within its clock's tick, unnoticed.
_SETTLED_AFTER = 2.0


def quiet(line: str) -> None:
    """Say nothing."""


def file_digests(files: Sequence[Path], say: Say = quiet) -> list[str]:
    """The SHA-256 of files, in hexadecimal, in their order.

    Args:
        say: is told once, should it take over two seconds.
    """
    memory = cache_folder() / "digests.json"
    known = _recall(memory)
    stamps = [_stamp(file) for file in files]
    waiting = [file for file, stamp in zip(files, stamps, strict=True) if stamp not in known]
    if waiting:
        progress = _HashingProgress(waiting, say)
        for file, stamp in zip(files, stamps, strict=True):
            if stamp not in known:
                known[stamp] = _hash(file, progress)
        _remember(memory, {stamp: known[stamp] for stamp in stamps})
    return [known[stamp] for stamp in stamps]


#: A file's path, size and time of change, in nanoseconds.
_Stamp = tuple[str, int, int]


def _stamp(file: Path) -> _Stamp:
    stat = file.stat()
    return os.path.realpath(file), stat.st_size, stat.st_mtime_ns


class _HashingProgress:
    """One line, if hashing all the files takes a while."""

    def __init__(self, files: Sequence[Path], say: Say) -> None:
        self._total = sum(file.stat().st_size for file in files)
        self._folder = files[0].parent
        self._say = say
        self._done = 0
        self._started = time.monotonic()

    def add(self, size: int) -> None:
        self._done += size
        seconds = time.monotonic() - self._started
        if seconds > _PATIENCE:
            left = seconds / self._done * (self._total - self._done)
            self._say(
                f"hashing the model's files in {self._folder}, once: {self._done / 1e9:.1f} of "
                f"{self._total / 1e9:.1f} GB, about {left:.0f} s left"
            )
            self._say = quiet


def _hash(file: Path, progress: _HashingProgress) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            progress.add(len(chunk))
    return digest.hexdigest()


def _recall(memory: Path) -> dict[_Stamp, str]:
    """What is remembered; nothing, where the file is missing or is not what was written."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        return {
            (str(path), int(entry["size"]), int(entry["mtime_ns"])): str(entry["sha256"])
            for path, entry in content.items()
        }
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}


def _remember(memory: Path, digests: dict[_Stamp, str]) -> None:
    """Add digests to the memory, and drop those of files that are gone."""
    now = time.time()
    settled = {
        stamp: digest
        for stamp, digest in digests.items()
        if abs(now - stamp[2] / 1e9) > _SETTLED_AFTER
    }
    if not settled:
        return
    content = {
        path: {"size": size, "mtime_ns": mtime_ns, "sha256": digest}
        for (path, size, mtime_ns), digest in (_recall(memory) | settled).items()
        if os.path.exists(path)
    }
    unfinished = None
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(prefix=".digests.", dir=memory.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        os.replace(unfinished, memory)
    except OSError:
        # A cache folder that cannot be written costs time, not the search.
        if unfinished is not None:
            with suppress(OSError):
                os.unlink(unfinished)
