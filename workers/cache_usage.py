"""What lies in the cache folder, and taking out of it what was not used longest.

Everything there is computed again by whoever needs it. What a process is using, such as a search
that runs, stays.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from autoprompt.workers.cache_folder import cache_folder, lock_of, unused


@dataclass(frozen=True)
class Kept:
    """What is kept or deleted as one: a text's states, an unpacked model, a note on one.

    Attributes:
        kind: the folder it lies in: texts, models or trust.
        of: within that, the folder of the model it belongs to, or its own.
        size: in bytes.
        used_at: seconds since 1970 when it was last read or written, as far as the file system
            knows.
        holder: the folder that processes keep in use for it; None of what may always go.
        in_use: whether one did when it was looked at.
    """

    kind: str
    of: str
    path: Path
    size: int
    used_at: float
    holder: Path | None = None
    in_use: bool = False


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
        if not own.in_use and (total > max_bytes or own.used_at < oldest):
            going.append(own)
            total -= own.size
    return going


def prune(going: Sequence[Kept]) -> list[Kept]:
    """Delete it, but for what a process has begun to use meanwhile.

    Returns:
        What was deleted, by another process perhaps.
    """
    gone = []
    holders: dict[Path | None, list[Kept]] = {}
    for own in going:
        holders.setdefault(own.holder, []).append(own)
    for holder, held in holders.items():
        with suppress(OSError), unused(holder) if holder else nullcontext(True) as free:
            for own in held if free else ():
                if own.path.is_dir():
                    shutil.rmtree(own.path, ignore_errors=True)
                else:
                    own.path.unlink(missing_ok=True)
                gone.append(own)
    return gone


def _kept(folder: Path) -> Iterator[Kept]:
    for model in (folder / "texts").glob("*"):
        used = _in_use(model)
        for path in model.glob("*/*.safetensors"):
            yield from _one("texts", model.name, path, [path], model, used)
    for path in (folder / "models").glob("*"):
        if path.is_dir():
            # One that is being made has the name of what it will be, and letters behind a dot.
            made = path if lock_of(path).exists() else path.with_suffix("")
            holder = made if lock_of(made).exists() else path
            yield from _one("models", path.name, path, [*path.rglob("*")], holder, _in_use(holder))
    for path in (folder / "trust").glob("*"):
        yield from _one("trust", path.name, path, [path])


def _in_use(holder: Path) -> bool:
    if not lock_of(holder).exists():
        return False
    with suppress(OSError), unused(holder) as free:
        return not free
    return False


def _one(
    kind: str,
    of: str,
    path: Path,
    files: Sequence[Path],
    holder: Path | None = None,
    in_use: bool = False,
) -> Iterator[Kept]:
    with suppress(OSError):  # deleted while one looks
        found = [file.stat() for file in files]
        used = max((max(stat.st_mtime, stat.st_atime) for stat in found), default=0.0)
        size = sum(stat.st_size for stat in found)
        yield Kept(kind, of, path, size, used, holder, in_use)
