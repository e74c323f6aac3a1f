"""The file that says that a model's kept texts were found right; see `known_model.py`."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


def is_known(file: Path | None) -> bool:
    """Whether the model of such a file was found right."""
    return file is not None and file.exists()


def keep(file: Path | None, found: str) -> None:
    """Note that it was, and what was found; where nothing can be written it is tried again."""
    if file is None:
        return
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as written:
            written.write(f"{found}\n")
        os.replace(written.name, file)
