"""From a model's spec to its tokenizer, and to the frozen model in memory."""

import importlib.util
from typing import Any

import transformers
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from autoprompt.search_spaces.distribution import with_extra
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.adapter import resolve
from autoprompt.workers.allocator import keep_large_blocks
from autoprompt.workers.attention import use_grouped_attention
from autoprompt.workers.dtype_choice import choose_dtype
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_config import (
    LOADERS,
    choose_device,
    family_of,
    not_a_model,
    read_config,
)
from autoprompt.workers.model_files import ModelSpec, in_dtype
from autoprompt.workers.model_identity import model_identity


def read_tokenizer(spec: ModelSpec) -> tuple[PreTrainedTokenizerBase, Any]:
    """A model's tokenizer and config, without its weights.

    Raises:
        ModelError: it cannot be found or is no language model.
    """
    folder = resolve(spec)
    config = read_config(folder, spec)
    options = {"revision": spec.revision, "trust_remote_code": spec.trust_remote_code}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError) as error:
        raise not_a_model(spec, error) from error
    if family_of(config) is None:
        raise ModelError(
            f"model {spec.path}: a {config.model_type!r} model is no language model: neither "
            "causal, nor masked, nor sequence to sequence"
        )
    return tokenizer, config


def load_model(spec: ModelSpec) -> FrozenModel:
    """Load what `spec` names.

    Raises:
        ModelError: it cannot be found, is no language model, or needs a package that is not there.
    """
    device = choose_device(spec.device)
    _, config = read_tokenizer(spec)
    dtype = choose_dtype(spec, config, device)
    family = family_of(config) or "causal"
    options: dict[str, Any] = {
        "revision": spec.revision,
        "trust_remote_code": spec.trust_remote_code,
    }
    folder = resolve(spec)
    identity = model_identity(spec)
    whole = spec.quantization == "none"
    placed: dict[str, Any] = {}
    if spec.device_map is not None:
        placed["device_map"] = spec.device_map
    elif not whole:
        placed["device_map"] = {"": str(device)}
    if not whole:
        placed["quantization_config"] = _quantized(spec, dtype)
    transformers_logging.disable_progress_bar()
    try:
        if whole and device.type == "cpu" and identity is not None:
            folder = in_dtype(folder, dtype, identity)
        model = LOADERS[family].from_pretrained(folder, dtype=dtype, **options, **placed)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise not_a_model(spec, error) from error
    if model.get_output_embeddings() is None:
        raise ModelError(f"model {spec.path}: has no output layer over its vocabulary")
    if not placed:
        model = model.to(device)
    for module in model.modules():
        # On a CPU, bitsandbytes would repack 4-bit weights for a product that has no gradient.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if device.type == "cpu":
        keep_large_blocks()
    if family == "causal":
        use_grouped_attention(model.eval())
    which = identity or getattr(model.config, "_commit_hash", None)
    held = f"{dtype}:{spec.quantization}:transformers {transformers.__version__}"
    return FrozenModel(model, tokenizer, which and f"{which}:{held}")


def _quantized(spec: ModelSpec, dtype: Any) -> BitsAndBytesConfig:
    """How bitsandbytes is to hold the weights."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"model {spec.path}: quantization {spec.quantization} needs bitsandbytes; install "
            f"{with_extra('quantization')}"
        )
    if spec.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )
