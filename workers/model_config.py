"""What a model's config and tokenizer say, before any weight is read."""

from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
)

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.model_files import ModelSpec

#: How a model reads a text and where it answers:
#: causal    reads once from left to right, answers behind the last token;
#: masked    reads in both directions, answers at a mask token;
#: seq2seq   an encoder reads in both directions, a decoder answers behind its start token.
Family = Literal["causal", "masked", "seq2seq"]

#: What loads a family's models, in the order in which a config is asked whether it is one.
LOADERS: dict[Family, Any] = {
    "seq2seq": AutoModelForSeq2SeqLM,
    "masked": AutoModelForMaskedLM,
    "causal": AutoModelForCausalLM,
}


def family_of(config: Any) -> Family | None:
    """The family of a config's model; None where it is a language model of no kind.

    A few encoders (BERT, RoBERTa) can also be used as decoders; only a config that says
    `is_decoder` is taken at that word.
    """
    remote = getattr(config, "auto_map", None) or {}
    for family, loader in LOADERS.items():
        if loader.__name__ in remote:
            return family
    if type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return "seq2seq"
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False):
        return "masked"
    return "causal" if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else None


def context_length(config: Any) -> int | None:
    """The most tokens of one input, or None where the model's config states no bound."""
    text_config = config.get_text_config(decoder=True)
    length = getattr(text_config, "max_position_embeddings", None)
    if not length or length < 1:
        return None
    # RoBERTa and its kin count positions from behind the padding token's id.
    counted = getattr(text_config, "position_embedding_type", None) != "rotary"
    shifted = "roberta" in config.model_type or config.model_type in ("camembert", "xmod")
    return int(length) - (text_config.pad_token_id + 1 if shifted and counted else 0)


#: Layers that keep the keys and values of every token, though some see a window of them.
_PLAIN_LAYERS = {"full_attention", "sliding_attention"}


def keeps_whole_text(config: Any) -> bool:
    """Whether every layer keeps plain keys and values of a text, of which it may see a window:
    recurrent or hybrid states cannot be cut behind a text and gone on from."""
    text_config = config.get_text_config(decoder=True)
    return _PLAIN_LAYERS.issuperset(getattr(text_config, "layer_types", None) or ())


def text_window(config: Any) -> int | None:
    """The fewest tokens that a layer sees, the one that looks back included; None where every layer
    sees all of them."""
    text_config = config.get_text_config(decoder=True)
    layer_types = getattr(text_config, "layer_types", None)
    slides = layer_types is None or "sliding_attention" in layer_types
    return (getattr(text_config, "sliding_window", None) or None) if slides else None


def rotation_depends_on_length(config: Any) -> bool:
    """Whether the same distance is turned by another angle in a longer input."""
    text_config = config.get_text_config(decoder=True)
    rope = getattr(text_config, "rope_parameters", None) or {}
    kinds = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    return any(part.get("rope_type") in ("dynamic", "longrope") for part in kinds)


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, ... stands for here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def read_config(folder: str, spec: ModelSpec) -> Any:
    """The config of the model in a folder, or of a Hub id.

    Raises:
        ModelError: it cannot be found or read.
    """
    try:
        return AutoConfig.from_pretrained(
            folder, revision=spec.revision, trust_remote_code=spec.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise not_a_model(spec, error) from error


def not_a_model(spec: ModelSpec, error: Exception) -> ModelError:
    """What is said of a model that transformers cannot load."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    return ModelError(f"model {spec.path}: cannot be loaded: {reason}")


def decoder_start(config: Any) -> int:
    """The token that a seq2seq model's decoder reads first."""
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.pad_token_id if start is None else start)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens with which a model ends what it writes."""
    for spec in (getattr(model, "generation_config", None), model.config, tokenizer):
        ends = getattr(spec, "eos_token_id", None)
        if ends is not None:
            return frozenset([ends] if isinstance(ends, int) else ends)
    return frozenset()
