"""Which model it is: a digest over every byte of every file that decides its answers.

A GGUF file and a model with an adapter are known by what they are made of, not by the files that
they are unpacked or merged into, which the version of transformers has a part in. How a model is
held (its dtype, bits, transformers' version) is no part of which model it is; the text cache, whose
numbers depend on it, has it in its own key.
"""

import hashlib
from pathlib import Path

from autoprompt.workers.file_digests import Say, file_digests, quiet
from autoprompt.workers.model_config import read_config
from autoprompt.workers.model_files import ModelSpec

#: Raised when the rule changes; what is stored without one was made by `old_identity`'s rule.
VERSION = "v2:"

#: Weights, configs, tokenizers, and code that comes with a model.
_DECIDING = (
    ".safetensors", ".bin", ".json", ".txt", ".model", ".tiktoken", ".codes", ".py",
)  # fmt: skip

#: Files of these kinds that decide nothing of what is asked of a model.
_BESIDE = frozenset({
    "generation_config.json", "chat_template.json", "preprocessor_config.json",
    "trainer_state.json", "training_args.bin", "optimizer.bin", "scheduler.bin",
    "LICENSE.txt", "license.txt", "requirements.txt",
})  # fmt: skip


def model_identity(spec: ModelSpec, say: Say = quiet) -> str | None:
    """The identity of what `spec` names; None for a Hub id, whose commit says which model it is.

    Args:
        say: is told once, should it take over two seconds.

    Raises:
        ModelError: an adapter's base on the Hub cannot be found.
    """
    path = Path(spec.path).expanduser()
    if not spec.is_local and spec.adapter is None:
        return None
    lines, files = [], {}
    if spec.is_gguf:
        files["gguf"] = path
    elif spec.is_local:
        files |= {file.name: file for file in _deciding(path)}
    else:
        commit = getattr(read_config(spec.path, spec), "_commit_hash", None)
        lines.append(f"hub {spec.path} {commit or spec.revision}")
    if spec.adapter is not None:
        adapter = _deciding(Path(spec.adapter).expanduser())
        files |= {f"adapter/{file.name}": file for file in adapter}
    digests = file_digests(list(files.values()), say)
    lines += [f"{name} {digest}" for name, digest in zip(files, digests, strict=True)]
    return VERSION + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _deciding(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix in _DECIDING
        and file.name not in _BESIDE
        and not file.name.startswith(".")
        and file.is_file()
    )
