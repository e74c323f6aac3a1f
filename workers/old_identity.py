"""The rule by which searches stored a model's identity before it had a version.

It read a model's config, and of each weight file the size and the first and last MiB: models that
differ in between share one. Kept to compare with what is stored, and for nothing else.
"""

import hashlib
import os
from pathlib import Path

from autoprompt.workers.adapter import resolve
from autoprompt.workers.cache_folder import cache_folder
from autoprompt.workers.model_files import ModelSpec

_SAMPLE_BYTES = 1 << 20


def old_identity(spec: ModelSpec) -> str | None:
    """The identity of what `spec` names by the old rule; None for a Hub id.

    Raises:
        ModelError: a local path that is not there or holds no model.
    """
    folder = _old_conversion(spec) or Path(resolve(spec))
    if not folder.is_dir():
        return None
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for pattern in ("*.safetensors", "*.bin"):
        for file in sorted(folder.glob(pattern)):
            _digest_ends(digest, file)
    return digest.hexdigest()[:16]


def _old_conversion(spec: ModelSpec) -> Path | None:
    """Where the old rule had a GGUF file unpacked, if that is still there: unpacked again by
    another transformers, it has another config."""
    file = Path(spec.path).expanduser()
    if not (spec.is_gguf and spec.adapter is None and file.is_file()):
        return None
    digest = hashlib.sha256()
    _digest_ends(digest, file)
    folder = cache_folder() / "models" / f"{file.stem}-{digest.hexdigest()[:16]}"
    return folder if folder.is_dir() else None


def _digest_ends(digest: "hashlib._Hash", file: Path) -> None:
    size = file.stat().st_size
    digest.update(f"{file.name}:{size}".encode())
    with file.open("rb") as content:
        digest.update(content.read(_SAMPLE_BYTES))
        if size > _SAMPLE_BYTES:
            content.seek(-_SAMPLE_BYTES, os.SEEK_END)
            digest.update(content.read())
