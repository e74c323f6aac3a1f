"""Where a number came from: the versions of code, libraries, model and data."""

import getpass
import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from autoprompt.search_spaces.distribution import version

_LIBRARIES = ("torch", "transformers", "ray", "optuna", "datasets", "sqlalchemy")


def code_versions() -> dict[str, Any]:
    """The package's version, a hash of its source, and the versions of what it stands on."""
    return {
        "autoprompt": version(),
        "code": _source_hash(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }


def _source_hash() -> str:
    """Tells two checkouts of the same version apart."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    # In a checkout, workers and search_spaces are links to folders beside this one.
    files = (
        Path(folder) / name
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
    )
    for file in sorted(files):
        if file.suffix in (".py", ".yaml"):
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def owner() -> str:
    """Whose the searches are that are begun here: `AUTOPROMPT_OWNER`, else the user's name."""
    named = os.environ.get("AUTOPROMPT_OWNER")
    if named:
        return named[:200]
    try:
        return getpass.getuser()[:200]
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())


def user_and_host() -> str:
    """Who is running this, and where: user@host."""
    return f"{owner()}@{platform.node()}"[:200]
