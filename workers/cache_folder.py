"""The folder for what is computed once and may be deleted at any time."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock


def cache_folder() -> Path:
    """`AUTOPROMPT_CACHE`, else the platform's user cache."""
    return Path(os.environ.get("AUTOPROMPT_CACHE") or platformdirs.user_cache_path("autoprompt"))


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` the first time.

    Safe with several processes at once (a lock) and when killed half-way (the folder gets its name
    only when complete).
    """
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
