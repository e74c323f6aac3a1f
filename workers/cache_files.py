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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
import xxhash
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

log = logging.getLogger(__name__)

#: Raised when what a file holds means something else than before.
_FORMAT = "2"

#: Seconds after which an unfinished file's writer is taken for dead.
_ABANDONED_AFTER = 3600

#: How much of the limit eviction frees at once, so that it runs seldom.
_SLACK = 0.1


class CacheFiles:
    """What one model made of texts, in a folder of its own.

    Several processes may use the same folder at once. A full disk costs speed, not the search:
    what cannot be written is kept in memory by whoever made it.
    """

    def __init__(self, folder: Path, model: str, limit: int) -> None:
        """Open the folder, making it where it is not there.

        Args:
            folder: the one that all models' folders lie in; `limit` bounds them together.
            model: says exactly which model, and how it is held.
            limit: bytes on disk.
        """
        self._root = folder
        self._folder = folder / hashlib.sha256(f"{_FORMAT}:{model}".encode()).hexdigest()[:16]
        self._model = model
        self._limit = limit
        self._written = 0
        self._works = True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._stop(error)

    def _path(self, text: Sequence[int]) -> Path:
        name = hashlib.sha256(array("q", text).tobytes()).hexdigest()[:32]
        return self._folder / name[:2] / f"{name}.safetensors"

    def __contains__(self, text: Sequence[int]) -> bool:
        return self._works and self._path(text).exists()

    @contextmanager
    def alone(self, text: Sequence[int], *, wait: bool) -> Iterator[bool]:
        """Hold a text against the machine's other workers, who hold it to encode it.

        Whoever dies holds nothing any more.

        Args:
            wait: for another who holds it to be done.

        Yields:
            Whether it is held now; always, where it is waited for or nothing is shared.
        """
        if not self._works:
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
        if not self._works:
            return None
        path = self._path(text)
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                states: Tensor = file.get_tensor("states")
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError) as error:
            log.warning("text cache: %s is broken and will be made again: %s", path.name, error)
            return None
        if metadata.get("model") != self._model or metadata.get("checksum") != _checksum(states):
            log.warning("text cache: %s is not what it was and will be made again", path.name)
            return None
        # The time of last use, by which eviction chooses.
        with suppress(OSError):
            os.utime(path)
        return states

    def put(self, text: Sequence[int], states: Tensor) -> Tensor | None:
        """Store a text's states [T, F]; what comes back is the same, mapped, or None if it could
        not be written."""
        if not self._works or states.nbytes > self._limit:
            return None
        path = self._path(text)
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
        self._written += states.nbytes
        if self._written > self._limit * _SLACK:
            self._written = 0
            self._evict()
        return self.get(text)

    def _stop(self, error: Exception) -> None:
        self._works = False
        log.warning("text cache: %s cannot be written, so memory is used: %s", self._root, error)

    def _evict(self) -> None:
        """Delete the files that were not used longest until the limit holds with some slack.

        Another process may delete the same ones, and may still have one mapped: its pages stay.
        """
        files = []
        abandoned = time.time() - _ABANDONED_AFTER
        for path in self._root.glob("*/*/*"):
            with suppress(OSError):
                stat = path.stat()
                if path.suffix == ".safetensors":
                    files.append((stat.st_mtime, stat.st_size, path))
                elif stat.st_mtime < abandoned:
                    path.unlink()
        total = sum(size for _, size, _ in files)
        if total <= self._limit:
            return
        for _, size, path in sorted(files):
            if total <= self._limit * (1 - _SLACK):
                return
            path.unlink(missing_ok=True)
            total -= size


def _checksum(states: Tensor) -> str:
    return str(xxhash.xxh3_64_hexdigest(states.contiguous().view(torch.uint8).numpy().data))
