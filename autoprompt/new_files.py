"""Files and folders that appear whole or not at all, and never in the place of another."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
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

    Where `path` came to exist meanwhile, it stays, and what was made gets a free name beside it.

    Raises:
        BadInputError: as in `check_new`, or `path` came to exist meanwhile.
    """
    check_new(path, option)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as staging:
        unfinished = Path(staging) / path.name
        yield unfinished
        if _placed(unfinished, path):
            return
        names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
        other = next(name for name in names if _placed(unfinished, name))
        raise BadInputError(
            f"{option} {path}: came to exist meanwhile and is left as it is; "
            f"what was made is {other}"
        )


def _placed(unfinished: Path, path: Path) -> bool:
    """Give a finished file or folder a name, unless it is taken; a rename alone would take it."""
    try:
        if unfinished.is_dir():
            # Over the empty folder just made; one that another has filled meanwhile is theirs.
            path.mkdir()
            unfinished.rename(path)
        else:
            _link(unfinished, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True


def _link(unfinished: Path, path: Path) -> None:
    """Raises FileExistsError where `path` is taken."""
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links: an empty file takes the name, and this one its place.
        path.touch(exist_ok=False)
        unfinished.replace(path)
