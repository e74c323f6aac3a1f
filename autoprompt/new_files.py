"""Files and folders that appear whole or not at all, and never in the place of another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from autoprompt.search_spaces.errors import BadInputError


def check_new(path: Path, option: str) -> None:
    """Refuse, before any work, a path that cannot be made.

    Args:
        option: where the user named it, to begin the error with.

    Raises:
        BadInputError: it exists, or the folder it would lie in cannot be written to.
    """
    folder = path.absolute().parent
    if os.path.lexists(path):
        raise BadInputError(f"{option} {path}: exists; name another one or remove it")
    if not folder.is_dir():
        raise BadInputError(f"{option} {path}: no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise BadInputError(f"{option} {path}: the folder {folder} cannot be written to")


@contextmanager
def made_whole(path: Path, option: str) -> Iterator[Path]:
    """Where to make a file or folder, beside `path`; it gets that name once the block has ended.

    Raises:
        BadInputError: as in `check_new`, also where `path` came to exist meanwhile.
    """
    check_new(path, option)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as staging:
        unfinished = Path(staging) / path.name
        yield unfinished
        check_new(path, option)
        unfinished.rename(path)
