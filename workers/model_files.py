"""Where a model's files are: a Hub id, a local folder, or a GGUF file converted once.

A GGUF file is unpacked to safetensors in the cache folder, because unpacking takes many times
longer than loading the result.
"""

import contextlib
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import field_validator

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.cache_folder import cache_folder, made_once
from autoprompt.workers.file_digests import Say, file_digests, quiet

if TYPE_CHECKING:
    import torch

_WEIGHTS = ("*.safetensors", "*.bin")


class ModelSpec(Document):
    """Which frozen model, and how it is held."""

    #: Hub id, local folder, or path of a .gguf file.
    path: str
    #: Hub revision: a branch, tag or commit.
    revision: str | None = None
    #: auto takes on a CPU whichever of float32 and bfloat16 runs faster, measured once before the
    #: search begins; on a GPU bfloat16 where it computes in it natively, else float32.
    dtype: str = "auto"
    #: auto takes CUDA where a GPU is given, else the CPU.
    device: str = "auto"
    #: Spreads one model over several GPUs, as Accelerate does: auto, balanced, sequential.
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    #: Weights in 8 or 4 bits, by bitsandbytes.
    quantization: Literal["none", "int8", "int4"] = "none"
    #: Folder of a PEFT adapter (LoRA and its kin) to merge into the model.
    adapter: str | None = None
    #: Runs Python code that comes with the model; say yes only to code you have read.
    trust_remote_code: bool = False

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, value: str) -> str:
        known = ("auto", "float32", "bfloat16", "float16")
        if value not in known:
            raise ValueError(f"unknown dtype {value!r}; known: {', '.join(known)}")
        return value

    @property
    def is_gguf(self) -> bool:
        return self.path.endswith(".gguf")

    @property
    def is_local(self) -> bool:
        return self.is_gguf or Path(self.path).exists() or self.path.startswith((".", "/", "~"))


def locate(spec: ModelSpec) -> str:
    """The Hub id, or the folder with the model's files, without any adapter.

    Raises:
        ModelError: a local path that is not there or holds no model.
    """
    if not spec.is_local:
        return spec.path
    path = Path(spec.path).expanduser()
    if not path.exists():
        raise ModelError(f"model {spec.path}: no such file or folder")
    if spec.is_gguf:
        return str(_converted(path))
    if not (path / "config.json").is_file():
        raise ModelError(
            f"model {spec.path}: not a model folder (no config.json in it); "
            "give a Hub id, a folder saved by save_pretrained, or a .gguf file"
        )
    if not any(file for pattern in _WEIGHTS for file in path.glob(pattern)):
        raise ModelError(f"model {spec.path}: the folder holds no weights (*.safetensors)")
    return str(path)


def licence(spec: ModelSpec) -> str | None:
    """What a local model's files say of its licence, or None: a GGUF file's metadata, or the front
    matter of a folder's README.md."""
    path = Path(spec.path).expanduser()
    if spec.is_gguf and path.is_file():
        from gguf import GGUFReader

        field = GGUFReader(path).get_field("general.license")
        return str(field.contents()) if field else None
    if (path / "README.md").is_file():
        from huggingface_hub import ModelCard

        return ModelCard.load(path / "README.md", ignore_metadata_errors=True).data.license
    return None


def conversion_is_due(spec: ModelSpec, say: Say = quiet) -> bool:
    """Whether `locate` will have to unpack a GGUF file first, which takes a while."""
    path = Path(spec.path).expanduser()
    return spec.is_gguf and path.is_file() and not _conversion_folder(path, say).exists()


def _conversion_folder(file: Path, say: Say = quiet) -> Path:
    [digest] = file_digests([file], say)
    return cache_folder() / "models" / f"{file.stem}-{digest[:32]}"


def _converted(file: Path) -> Path:
    """The folder with `file` unpacked to float32 safetensors, made on first use."""

    def unpack(folder: Path) -> None:
        # Imported here: everything else in this file is needed before transformers is.
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        source, name = str(file.parent), file.name
        try:
            # Its bars cannot be turned off, and would be lines upon lines in a log.
            with contextlib.redirect_stderr(io.StringIO()):
                model = AutoModelForCausalLM.from_pretrained(
                    source, gguf_file=name, quantization_config=GgufConfig(dequantize=True)
                )
                model.save_pretrained(folder)
                AutoTokenizer.from_pretrained(source, gguf_file=name).save_pretrained(folder)
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise ModelError(f"model {file}: not a GGUF file that can be read: {reason}") from error

    return made_once(_conversion_folder(file), unpack)


def in_dtype(folder: str, dtype: "torch.dtype", identity: str) -> str:
    """A local model's folder with its weights stored in `dtype`: the folder itself where they are,
    else a copy in the cache, made on first use and named by the model's identity.

    Weights that are stored as they are computed with need not be read: every worker of a machine
    maps the same file, and a second one costs no second copy in memory.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    source = Path(folder)
    weights = sorted(source.glob("*.safetensors"))
    if not weights:
        return folder
    with safe_open(weights[0], framework="pt") as file:
        stored = {file.get_tensor(key).dtype for key in list(file.keys())[:8]}
    if stored == {dtype}:
        return folder

    def cast(target: Path) -> None:
        for file in source.iterdir():
            if file.suffix != ".safetensors" and file.is_file():
                shutil.copy(file, target)
        for file in weights:
            tensors = load_file(file)
            floats = {key: tensor for key, tensor in tensors.items() if tensor.is_floating_point()}
            tensors |= {key: tensor.to(dtype) for key, tensor in floats.items()}
            save_file(tensors, target / file.name, metadata={"format": "pt"})

    name = f"{identity}-{dtype}".replace(":", "-").replace("torch.", "")
    return str(made_once(cache_folder() / "models" / name, cast))
