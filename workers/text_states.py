"""The hidden states of a text by itself, laid out as rows that a cache can keep.

A causal model leaves keys and values behind, a model with an encoder its encoder's output. Either
is [T, F]: one row of F numbers for each of the text's T tokens.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from autoprompt.workers.frozen_model import FrozenModel

TokenIds = tuple[int, ...]


class TextStates(Protocol):
    """How one family's texts become rows.

    Attributes:
        width: F.
    """

    @property
    def width(self) -> int: ...

    def encode(self, texts: Sequence[TokenIds]) -> Tensor:
        """[B, T, F], padded on the right; without gradients."""
        ...


def states_of(model: FrozenModel) -> "KeysAndValues | EncoderOutputs":
    """The states that a model leaves of a text."""
    return EncoderOutputs(model) if model.family == "seq2seq" else KeysAndValues(model)


def past_of(layers: Iterable[tuple[Tensor, ...]]) -> DynamicCache:
    """Every layer's keys and values, each [B, heads, T, size], as the cache that a forward pass
    goes on from."""
    past = DynamicCache()
    for keys, values in layers:
        layer = DynamicLayer()
        # Set rather than passed to `update`, which would copy them once more.
        layer.keys, layer.values = keys, values
        layer.dtype, layer.device = keys.dtype, keys.device
        layer.is_initialized = True
        past.layers.append(layer)
    return past


def padded(texts: Sequence[TokenIds], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [B, T], padded on the right, and which of them are real, [B, T] bool."""
    ids = pad_sequence([torch.tensor(text) for text in texts], batch_first=True).to(device)
    lengths = torch.tensor([len(text) for text in texts], device=device)
    return ids, torch.arange(ids.shape[1], device=device) < lengths[:, None]


class KeysAndValues:
    """Every layer's keys and values, side by side."""

    def __init__(self, model: FrozenModel) -> None:
        self._model = model

    @cached_property
    @torch.no_grad()
    def _sizes(self) -> list[tuple[torch.Size, torch.Size, torch.device]]:
        """(heads, size) of every layer's keys and of its values, and where the layer is, read off
        one token's cache."""
        cache = DynamicCache()
        one = torch.zeros(1, 1, dtype=torch.long, device=self._model.device)
        self._model.logits(
            one[0],
            inputs_embeds=self._model.embed(one),
            attention_mask=one + 1,
            position_ids=one,
            past_key_values=cache,
        )
        return [
            (layer.keys.shape[1::2], layer.values.shape[1::2], layer.keys.device)
            for layer in cache.layers
        ]

    @property
    def width(self) -> int:
        return sum(self._widths)

    @property
    def _widths(self) -> list[int]:
        return [size.numel() for *pair, _ in self._sizes for size in pair]

    @torch.no_grad()
    def encode(self, texts: Sequence[TokenIds]) -> Tensor:
        """[B, T, F]."""
        ids, real = padded(texts, self._model.device)
        positions = torch.arange(ids.shape[1], device=self._model.device)
        cache = DynamicCache()
        self._model.logits(
            positions[-1:],
            inputs_embeds=self._model.embed(ids),
            attention_mask=real.long(),
            position_ids=positions.expand(len(texts), -1),
            past_key_values=cache,
        )
        states = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        flat = [state.transpose(1, 2).flatten(2).to(self._model.device) for state in states]
        return torch.cat(flat, dim=-1)

    def past(self, block: Tensor) -> DynamicCache:
        """Rows [B, T, F] as the cache that a forward pass goes on from."""
        states = iter(block.split(self._widths, dim=-1))
        return past_of(
            tuple(
                next(states).to(device).unflatten(-1, sizes).transpose(1, 2)
                for sizes in (keys, values)
            )
            for keys, values, device in self._sizes
        )


class EncoderOutputs:
    """The encoder's last hidden states, which the decoder attends to."""

    def __init__(self, model: FrozenModel) -> None:
        self._model = model

    @property
    def width(self) -> int:
        return self._model.hidden_size

    @torch.no_grad()
    def encode(self, texts: Sequence[TokenIds]) -> Tensor:
        """[B, T, H]."""
        ids, real = padded(texts, self._model.device)
        return self._model.encoder_output(self._model.embed(ids), real.long())
