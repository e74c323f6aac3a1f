"""What a pass goes on from: the keys and values of texts, and the rows of KV prompts beside them.

A model hands its new keys and values to the cache, and what the cache returns to its attention.
Here nothing is appended to anything: the new keys come back as they are, with a note of what else
is attended to, which `attention.py` reads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

#: The attribute of a tensor of new keys that holds the layer's `LayerPast`.
NOTE = "autoprompt_past"

#: Keys and values of one layer, each [B, groups, T, size].
LayerStates = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Segment:
    """Prompts of like shape side by side in a pass: n of them, of Q query tokens each.

    Attributes:
        prompts: which of the pass's prompts they are.
        start: the first of their n * Q query tokens, which stand prompt by prompt.
        queries: Q.
        hidden: so many tokens at the end of each text's kept states are not seen.
        visible: [Q, Q] bool, which of a prompt's query tokens sees which.
        rows: [n], how many rows each prompt has.
    """

    prompts: tuple[int, ...]
    start: int
    queries: int
    hidden: int
    visible: Tensor
    rows: tuple[int, ...]

    @property
    def tokens(self) -> slice:
        """Their query tokens in the pass."""
        return slice(self.start, self.start + len(self.prompts) * self.queries)


@dataclass(frozen=True)
class Beside:
    """What the query tokens of one segment attend to, as numbers to add to attention scores.

    Attributes:
        segment: whose.
        text_mask: [B, 1, 1, 1, 1, T].
        own_mask: [Q, Q], or None where there is one query token.
        row_mask: [n, 1, 1, P], or None where all have as many rows.
    """

    segment: Segment
    text_mask: Tensor
    own_mask: Tensor | None
    row_mask: Tensor | None


@dataclass(frozen=True)
class LayerPast:
    """What one layer attends to, beside the new tokens.

    Attributes:
        keys, values: of the texts, [B, groups, T, size].
        beside: segment by segment.
        rows: of each segment, keys and values [n, groups, P, size]; None where it has none.
    """

    keys: Tensor
    values: Tensor
    beside: Sequence[Beside]
    rows: Sequence[LayerStates | None]


class _NotedLayer(DynamicLayer):
    """Gives new keys and values back, noting on the keys what else is attended to.

    Attributes:
        new: the last new keys and values, [B, groups, Q, size].
    """

    def __init__(self, past: LayerPast) -> None:
        super().__init__()
        self._past = past
        self.keys, self.values = past.keys, past.values
        self.dtype, self.device = past.keys.dtype, past.keys.device
        self.is_initialized = True
        self.new: LayerStates | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *arguments: Any, **others: Any
    ) -> LayerStates:
        self.new = (key_states, value_states)
        setattr(key_states, NOTE, self._past)
        return key_states, value_states


def noted_past(
    layers: Iterable[LayerStates],
    segments: Sequence[Segment],
    rows: Sequence[Tensor],
    mask: Tensor,
) -> DynamicCache:
    """A cache for a model whose attention reads the notes.

    Args:
        layers: the texts' keys and values.
        segments: of the pass.
        rows: of each of the pass's prompts [P, layers, 2, groups, size]; empty for none.
        mask: [B, T] bool, where a kept token is.
    """
    lengths = mask.sum(1, keepdim=True)
    place = torch.arange(mask.shape[1], device=mask.device)
    layers = list(layers)
    dtype = layers[0][0].dtype
    beside, laid = [], []
    for segment in segments:
        seen = place < lengths - segment.hidden
        most = max(segment.rows)
        counts = torch.tensor(segment.rows, device=mask.device)[:, None]
        padded = min(segment.rows) < most
        real = torch.arange(most, device=mask.device) < counts
        beside.append(
            Beside(
                segment,
                additive(seen, dtype)[:, None, None, None, None, :],
                additive(segment.visible, dtype) if segment.queries > 1 else None,
                additive(real, dtype)[:, None, None, :] if padded else None,
            )
        )
        laid.append(_by_layer([rows[prompt] for prompt in segment.prompts]) if most else None)
    past = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        of_layer = [None if part is None else part[number] for part in laid]
        past.layers.append(_NotedLayer(LayerPast(keys, values, beside, of_layer)))
    return past


def _by_layer(rows: Sequence[Tensor]) -> list[LayerStates]:
    """Rows of n prompts, each [P, layers, 2, groups, size], P their own, as every layer's keys and
    values [n, groups, P, size]."""
    shape = next(own.shape[1:] for own in rows if len(own))
    alike = [own if len(own) else own.new_zeros(0, *shape) for own in rows]
    block = pad_sequence(alike, batch_first=True)
    keys, values = block.permute(2, 3, 0, 4, 1, 5).unbind(1)
    return list(zip(keys, values, strict=True))


def additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask of bool as numbers to add to attention scores, which every implementation of attention
    understands."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)


def past_of(layers: Iterable[LayerStates]) -> DynamicCache:
    """Every layer's keys and values as the cache that any model goes on from: what is new is copied
    behind them."""
    past = DynamicCache()
    for keys, values in layers:
        layer = DynamicLayer()
        # Set rather than passed to `update`, which would copy them once more.
        layer.keys, layer.values = keys, values
        layer.dtype, layer.device = keys.dtype, keys.device
        layer.is_initialized = True
        past.layers.append(layer)
    return past
