"""What lies in the cache folder, and taking out of it what was not used longest.

Everything there is computed again by whoever needs it. A process that has a file mapped keeps its
pages, so a search that runs loses nothing but time.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autoprompt.workers.cache_folder import cache_folder


@dataclass(frozen=True)
class Kept:
    """What is kept or deleted as one: a text's states, an unpacked model, a note on one.

    Attributes:
        kind: the folder it lies in: texts, models or trust.
        of: within that, the folder of the model it belongs to, or its own.
        size: in bytes.
        used_at: seconds since 1970 when it was last read or written, as far as the file system
            knows.
    """

    kind: str
    of: str
    path: Path
    size: int
    used_at: float


def kept() -> list[Kept]:
    """All of it, what was not used longest first."""
    return sorted(_kept(cache_folder()), key=lambda own: own.used_at)


def to_prune(found: Sequence[Kept], max_bytes: float, max_age: float) -> list[Kept]:
    """What goes for the rest to be small and young enough.

    Args:
        found: as `kept` has it.
        max_age: in seconds, since it was last used.
    """
    total, oldest = sum(own.size for own in found), time.time() - max_age
    going = []
    for own in found:
        if total > max_bytes or own.used_at < oldest:
            going.append(own)
            total -= own.size
    return going


def prune(going: Sequence[Kept]) -> None:
    """Delete it; what another process has deleted meanwhile is gone, too."""
    for own in going:
        if own.path.is_dir():
            shutil.rmtree(own.path, ignore_errors=True)
        else:
            with suppress(OSError):
                own.path.unlink()


def _kept(folder: Path) -> Iterator[Kept]:
    for path in (folder / "texts").glob("*/*/*.safetensors"):
        yield from _one("texts", path.parents[1].name, path, [path])
    for path in (folder / "models").glob("*"):
        if path.is_dir():
            yield from _one("models", path.name, path, [*path.rglob("*")])
    for path in (folder / "trust").glob("*"):
        yield from _one("trust", path.name, path, [path])


def _one(kind: str, of: str, path: Path, files: Sequence[Path]) -> Iterator[Kept]:
    with suppress(OSError):  # deleted while one looks
        found = [file.stat() for file in files]
        used = max((max(stat.st_mtime, stat.st_atime) for stat in found), default=0.0)
        yield Kept(kind, of, path, sum(stat.st_size for stat in found), used)
