"""The text cache on disk: one safetensors file a text, shared by the workers of a machine.

Files are mapped into memory, not read: two workers that use the same text share its pages, and the
next search on the same data finds it there. A file gets its name only when complete, so a worker
that dies half-way leaves nothing that could be taken for a text, and two that write the same one
write the same bytes. A file that was cut short, changed, or made by another model is noticed by
its header and checksum, and made again.
"""

import hashlib
import logging
import os
import tempfile
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
import xxhash
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from autoprompt.workers.cache_folder import hold

log = logging.getLogger(__name__)

#: Raised when what a file holds means something else than before.
_FORMAT = "2"

#: Seconds after which an unfinished file's writer is taken for dead.
_ABANDONED_AFTER = 3600

#: What a file takes beside its text's states, at the most.
OVERHEAD = 1024

#: The part of the limit that is written between two looks at what others have written meanwhile.
_BETWEEN_LOOKS = 0.1


class CacheFiles:
    """What one model made of texts, in a folder of its own.

    Several processes may use the same folder at once. A full disk costs speed, not the search:
    what cannot be written is computed again by whoever needs it.

    Attributes:
        root: the folder that all models' folders lie in.
        limit: bytes on disk, of all models together.
    """

    def __init__(self, folder: Path, model: str, limit: int) -> None:
        """Open the folder, making it where it is not there.

        Args:
            folder: the one that all models' folders lie in; `limit` bounds them together.
            model: says exactly which model, and how it is held.
            limit: bytes on disk.
        """
        self.root = folder
        self.limit = limit
        self._folder = folder / hashlib.sha256(f"{_FORMAT}:{model}".encode()).hexdigest()[:16]
        self._model = model
        #: Bytes that may still be written before the next look at the folder.
        self._left = int(limit * _BETWEEN_LOOKS)
        #: The files of texts that are in use here, which are never deleted from here.
        self._ours: set[Path] = set()
        self._writes = True
        try:
            hold(self._folder)
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._stop(error)

    def _path(self, text: Sequence[int]) -> Path:
        name = hashlib.sha256(array("q", text).tobytes()).hexdigest()[:32]
        return self._folder / name[:2] / f"{name}.safetensors"

    def __contains__(self, text: Sequence[int]) -> bool:
        return self._path(text).exists()

    def make_room(self, texts: Iterable[Sequence[int]], size: int) -> None:
        """Delete what others have used least recently, until there is room for these texts.

        Args:
            size: bytes that the files of all of them take, those that are there already included.
        """
        paths = {self._path(text) for text in texts}
        there = sum(_size(path) for path in paths)
        self._ours |= paths
        self._delete(size - there)

    @contextmanager
    def alone(self, text: Sequence[int], *, wait: bool) -> Iterator[bool]:
        """Hold a text against the machine's other workers, who hold it to encode it.

        Whoever dies holds nothing any more.

        Args:
            wait: for another who holds it to be done.

        Yields:
            Whether it is held now; always, where it is waited for or nothing is shared.
        """
        if not self._writes:
            yield True
            return
        path = self._path(text).with_suffix(".lock")
        lock = FileLock(path)
        try:
            path.parent.mkdir(exist_ok=True)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        except OSError as error:
            self._stop(error)
            yield True
            return
        try:
            yield True
        finally:
            lock.release()

    def get(self, text: Sequence[int]) -> Tensor | None:
        """The text's states [T, F], mapped read-only, or None where there is no good file."""
        path = self._path(text)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                states: Tensor = file.get_tensor("states")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, SafetensorError) as error:
            log.warning("text cache: %s is broken and was deleted: %s", path.name, error)
            self._discard(path)
            return None
        if metadata.get("model") != self._model or metadata.get("checksum") != _checksum(states):
            log.warning("text cache: %s is not what it was and was deleted", path.name)
            self._discard(path)
            return None
        # The time of last use, by which files are chosen to be deleted.
        with suppress(OSError):
            os.utime(path)
        return states

    def _discard(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def put(self, text: Sequence[int], states: Tensor) -> Tensor | None:
        """Store a text's states [T, F]; what comes back is the same, mapped, or None if it could
        not be written."""
        if not self._writes or not self._has_room(states.nbytes + OVERHEAD):
            return None
        path = self._path(text)
        self._ours.add(path)
        metadata = {"model": self._model, "checksum": _checksum(states)}
        unfinished = None
        try:
            path.parent.mkdir(exist_ok=True)
            handle, unfinished = tempfile.mkstemp(prefix=".", dir=path.parent)
            os.close(handle)
            save_file({"states": states.contiguous()}, unfinished, metadata=metadata)
            os.replace(unfinished, path)
        except (OSError, SafetensorError) as error:
            if unfinished is not None:
                with suppress(OSError):
                    os.unlink(unfinished)
            self._stop(error)
            return None
        return self.get(text)

    def _stop(self, error: Exception) -> None:
        self._writes = False
        log.warning("text cache: %s cannot be written, so texts are not: %s", self.root, error)

    def _has_room(self, size: int) -> bool:
        """Whether a file of so many bytes may be written; once one may not, none is any more."""
        if size > self._left:
            self._left = self._delete(max(int(self.limit * _BETWEEN_LOOKS), size))
        self._writes = size <= self._left
        self._left -= size
        return self._writes

    def _delete(self, needed: int) -> int:
        """Delete the files that were not used longest, but for ours, until so many bytes may be
        written.

        Another process may delete the same ones, and may still have one mapped: its pages stay.

        Returns:
            How many of them may be, after all.
        """
        files = []
        total = 0
        abandoned = time.time() - _ABANDONED_AFTER
        for path in self.root.glob("*/*/*"):
            with suppress(OSError):
                stat = path.stat()
                if path.suffix == ".safetensors":
                    total += stat.st_size
                    if path not in self._ours:
                        files.append((stat.st_mtime, stat.st_size, path))
                elif stat.st_mtime < abandoned:
                    path.unlink()
        for _, size, path in sorted(files):
            if total + needed <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size
        return max(0, min(needed, self.limit - total))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _checksum(states: Tensor) -> str:
    return str(xxhash.xxh3_64_hexdigest(states.contiguous().view(torch.uint8).numpy().data))
