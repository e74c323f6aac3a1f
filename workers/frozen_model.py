"""The frozen model: loaded once, never trained, asked only for label words' logits."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from search_spaces.errors import ModelError
from workers.allocator import keep_large_blocks
from workers.attention import use_grouped_attention
from workers.model_files import ModelSpec, fingerprint, in_dtype, resolve

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Readout(nn.Module):
    """The model's output layer cut down to the rows of the label words, in float32.

    The model's own forward pass still applies what follows it (scaling, soft-capping), and the
    product with the whole vocabulary, which bfloat16 would also round to three digits, is spared.
    """

    def __init__(self, full: Any) -> None:
        super().__init__()
        self.full: Any = full
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def keep(self, token_ids: Sequence[int] | None) -> None:
        if token_ids is None:
            self._weight = self._bias = None
            return
        rows = list(token_ids)
        self._weight = self.full.weight.detach()[rows].float()
        bias = getattr(self.full, "bias", None)
        self._bias = None if bias is None else bias.detach()[rows].float()

    def forward(self, hidden: Tensor) -> Tensor:
        if self._weight is None:
            logits: Tensor = self.full(hidden)
            return logits
        return nn.functional.linear(hidden.float(), self._weight, self._bias)


class FrozenModel:
    """A causal language model whose parameters never change.

    Attributes:
        model: the transformers model, in eval mode, no parameter requiring grad.
        tokenizer: its tokenizer.
        embeddings: [V, H], the input embeddings, in the model's dtype.
        context_length: the most tokens of one input, or None where the model has no bound.
        identity: equal for two models that make the same of every text; None where unknown.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        identity: str | None = None,
    ) -> None:
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer: Any = tokenizer
        self.identity = identity
        self.embeddings: Tensor = self.model.get_input_embeddings().weight
        self.context_length = context_length(model.config)
        self._readout = _Readout(self.model.get_output_embeddings())
        self.model.set_output_embeddings(self._readout)
        self._accepts = set(inspect.signature(self.model.forward).parameters)

    @classmethod
    def load(cls, spec: ModelSpec) -> "FrozenModel":
        """Load what `spec` names.

        Raises:
            ModelError: it cannot be found or is not a causal language model.
        """
        device = choose_device(spec.device)
        dtype = choose_dtype(spec.dtype, device)
        options = {"revision": spec.revision, "trust_remote_code": spec.trust_remote_code}
        folder = resolve(spec)
        transformers_logging.disable_progress_bar()
        try:
            if device.type == "cpu":
                folder = in_dtype(folder, dtype)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise _not_a_model(spec, error) from error
        model = model.to(device).eval()
        if device.type == "cpu":
            keep_large_blocks()
            use_grouped_attention(model)
        which = fingerprint(folder) or getattr(model.config, "_commit_hash", None)
        return cls(model, tokenizer, identity=which and f"{which}:{dtype}")

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embeddings.dtype

    @property
    def hidden_size(self) -> int:
        return int(self.embeddings.shape[1])

    @property
    def may_reuse_text(self) -> bool:
        """Whether every layer keeps plain keys and values, so that a cache can be cut and rejoined.

        Sliding windows and recurrent or hybrid states cannot; such a model takes the plain path.
        """
        config = self.model.config.get_text_config(decoder=True)
        layer_types = getattr(config, "layer_types", None) or []
        if any(each != "full_attention" for each in layer_types):
            return False
        if not layer_types and getattr(config, "sliding_window", None):
            return False
        stateful = getattr(self.model, "_is_stateful", False)
        return "past_key_values" in self._accepts and not stateful

    def keep_logits_of(self, token_ids: Sequence[int] | None) -> None:
        """From now on `logits` answers for these tokens only, in this order; None for all."""
        self._readout.keep(token_ids)

    def embed(self, token_ids: Tensor | Sequence[int]) -> Tensor:
        """Token ids [...] to input embeddings [..., H]."""
        ids = torch.as_tensor(token_ids, dtype=torch.long, device=self.device)
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def logits(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        keep: Tensor,
        past_key_values: Any = None,
    ) -> Tensor:
        """The logits of the kept tokens at chosen positions.

        Args:
            inputs_embeds: [B, Q, H].
            attention_mask: [B, past + Q] of 0/1, or [B, 1, Q, past + Q] of bool.
            position_ids: [B, Q].
            keep: the positions to answer for, [N] or [B, N].
            past_key_values: a transformers `Cache` of what came before, or None.

        Returns:
            [B, N, kept tokens] in float32.
        """
        arguments: dict[str, Any] = {
            "inputs_embeds": inputs_embeds,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            "past_key_values": past_key_values,
            "use_cache": past_key_values is not None,
        }
        if "position_ids" not in self._accepts:
            del arguments["position_ids"]
        if keep.ndim == 1:
            keep = keep.expand(len(inputs_embeds), -1)
        if "logits_to_keep" in self._accepts:
            return self.model(**arguments, logits_to_keep=keep).logits.float()
        logits = self.model(**arguments).logits.float()
        return torch.take_along_dim(logits, keep[..., None], dim=1)


def context_length(config: Any) -> int | None:
    """The most tokens of one input, or None where the model's config states no bound."""
    text_config = config.get_text_config(decoder=True)
    length = getattr(text_config, "max_position_embeddings", None)
    return int(length) if length else None


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, ... stands for here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype that `auto` stands for: bfloat16 where the device computes in it natively."""
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def read_tokenizer(spec: ModelSpec) -> tuple[PreTrainedTokenizerBase, Any]:
    """A model's tokenizer and config, without its weights.

    Raises:
        ModelError: it cannot be found or is not a causal language model.
    """
    folder = resolve(spec)
    options = {"revision": spec.revision, "trust_remote_code": spec.trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(folder, **options)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError) as error:
        raise _not_a_model(spec, error) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not spec.trust_remote_code:
        raise ModelError(
            f"model {spec.path}: a {config.model_type!r} model is not a causal language model"
        )
    return tokenizer, config


def _not_a_model(spec: ModelSpec, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    return ModelError(f"model {spec.path}: cannot be loaded: {reason}")
