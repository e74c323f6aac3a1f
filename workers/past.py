"""What a pass goes on from: the keys and values of texts, and the rows of KV prompts beside them.

A model hands its new keys and values to the cache, and what the cache returns to its attention.
`noted_past` appends nothing to anything: the new keys come back as they are, with a note of what
else is attended to, which `attention.py` reads. `copied_past` serves any model: what is new is
copied behind what is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

#: The attribute of a tensor of new keys that holds the layer's `LayerPast` of each lot.
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
    """

    prompts: tuple[int, ...]
    start: int
    queries: int
    hidden: int
    visible: Tensor

    @property
    def tokens(self) -> slice:
        """Their query tokens in the pass."""
        return slice(self.start, self.start + len(self.prompts) * self.queries)

    def sees(self, mask: Tensor) -> Tensor:
        """[B, T] bool, which kept tokens they see, of those that are real, [B, T] bool."""
        place = torch.arange(mask.shape[1], device=mask.device)
        return place < mask.sum(1, keepdim=True) - self.hidden


class Grown:
    """The keys and values that the tokens of a segment leave in one layer, from pass to pass.

    Attributes:
        states: each [B, groups, n, Q, size], Q of all passes; None before the first one.
    """

    def __init__(self) -> None:
        self.states: LayerStates | None = None

    def by(self, keys: Tensor, values: Tensor) -> LayerStates:
        """Those of another pass added to them."""
        if self.states is not None:
            keys = torch.cat([self.states[0], keys], dim=3)
            values = torch.cat([self.states[1], values], dim=3)
        self.states = keys, values
        return self.states

    def only(self, texts: Tensor) -> None:
        """Go on with these of the B texts."""
        if self.states is not None:
            self.states = self.states[0][texts], self.states[1][texts]


@dataclass(frozen=True)
class Lot:
    """Some of a pass's prompts, and the texts that they go over.

    Attributes:
        layers: the texts' keys and values.
        segments: of the prompts; their query tokens are counted from the lot's first.
        rows: of each prompt [P, layers, 2, groups, size]; empty for none.
        mask: [B, T] bool, where a kept token is.
        grown: layer by layer and segment by segment, what passes before this one left of the
            prompts' own tokens, and this one will; empty where it is the only one.
    """

    layers: Sequence[LayerStates]
    segments: Sequence[Segment]
    rows: Sequence[Tensor]
    mask: Tensor
    grown: Sequence[Sequence[Grown]] = ()

    @property
    def queries(self) -> int:
        """Query tokens behind each text, of all prompts together."""
        return self.segments[-1].tokens.stop


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

    def on(self, device: torch.device) -> "Beside":
        """The same for a layer on a device."""
        if self.text_mask.device == device:
            return self
        own, rows = (
            None if mask is None else mask.to(device) for mask in (self.own_mask, self.row_mask)
        )
        return Beside(self.segment, self.text_mask.to(device), own, rows)


@dataclass(frozen=True)
class LayerPast:
    """What one layer attends to in one lot, beside the new tokens.

    Attributes:
        queries: query tokens behind each text.
        keys, values: of the texts, [B, groups, T, size].
        beside: segment by segment.
        rows: of each segment, keys and values [n, groups, P, size]; None where it has none.
        grown: of each segment, where there were passes before or will be.
    """

    queries: int
    keys: Tensor
    values: Tensor
    beside: Sequence[Beside]
    rows: Sequence[LayerStates | None]
    grown: Sequence[Grown | None]


class _NotedLayer(DynamicLayer):
    """Gives new keys and values back, noting on the keys what else is attended to."""

    def __init__(self, lots: Sequence[LayerPast]) -> None:
        super().__init__()
        self._lots = lots
        self.keys, self.values = lots[0].keys, lots[0].values
        self.dtype, self.device = self.keys.dtype, self.keys.device
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *arguments: Any, **others: Any
    ) -> LayerStates:
        setattr(key_states, NOTE, self._lots)
        return key_states, value_states


def noted_past(lots: Sequence[Lot]) -> tuple[DynamicCache, Tensor]:
    """What a pass over several lots goes on from, for a model whose attention reads the notes, and
    a mask that only keeps the model from making its own. The pass is one row of query tokens: lot
    by lot, text by text, prompt by prompt."""
    laid = [_laid(lot) for lot in lots]
    there: dict[torch.device, list[list[Beside]]] = {}
    past = DynamicCache()
    for number, (first, _) in enumerate(lots[0].layers):
        # A model moves what it hands from device to device, but knows no notes.
        device = first.device
        if device not in there:
            there[device] = [[part.on(device) for part in beside] for beside, _ in laid]
        of_layer = [
            LayerPast(
                lot.queries,
                *lot.layers[number],
                beside,
                [None if part is None else _on(part[number], device) for part in rows],
                lot.grown[number] if lot.grown else [None] * len(beside),
            )
            for lot, beside, (_, rows) in zip(lots, there[device], laid, strict=True)
        ]
        past.layers.append(_NotedLayer(of_layer))
    return past, lots[0].mask.new_zeros(1, 1, 1, 1, dtype=lots[0].layers[0][0].dtype)


def _on(states: LayerStates, device: torch.device) -> LayerStates:
    return states[0].to(device), states[1].to(device)


def _laid(lot: Lot) -> tuple[list[Beside], list[list[LayerStates] | None]]:
    """What each segment of a lot attends to, and its prompts' rows, layer by layer."""
    dtype, mask = lot.layers[0][0].dtype, lot.mask
    beside: list[Beside] = []
    laid: list[list[LayerStates] | None] = []
    for segment in lot.segments:
        own = [lot.rows[prompt] for prompt in segment.prompts]
        counts = [len(part) for part in own]
        most = max(counts)
        real = torch.arange(most) < torch.tensor(counts)[:, None]
        beside.append(
            Beside(
                segment,
                additive(segment.sees(mask), dtype)[:, None, None, None, None, :],
                additive(segment.visible, dtype) if segment.queries > 1 else None,
                None if real.all() else additive(real.to(mask.device), dtype)[:, None, None, :],
            )
        )
        laid.append(_by_layer(own) if most else None)
    return beside, laid


def copied_past(lot: Lot) -> tuple[DynamicCache, Tensor]:
    """What a pass over one lot goes on from, for any model, and the mask that goes with it: all
    prompts' rows are copied behind every text."""
    layers, mask = lot.layers, lot.mask
    counts = [len(own) for own in lot.rows]
    count, last = len(mask), lot.queries
    among = torch.zeros(last, sum(counts) + last, dtype=torch.bool, device=mask.device)
    for segment in lot.segments:
        for place, prompt in enumerate(segment.prompts):
            first = segment.start + place * segment.queries
            own = slice(first, first + segment.queries)
            before = sum(counts[:prompt])
            among[own, before : before + counts[prompt]] = True
            among[own, sum(counts) + own.start : sum(counts) + own.stop] = segment.visible
    kept = [
        segment.sees(mask)[:, None].expand(-1, len(segment.prompts) * segment.queries, -1)
        for segment in lot.segments
    ]
    visible = torch.cat([torch.cat(kept, dim=1), among.expand(count, -1, -1)], dim=-1)
    if any(counts):
        together = torch.cat([own for own in lot.rows if len(own)]).permute(1, 2, 3, 0, 4)
        layers = [
            (
                torch.cat([keys, own[0].to(keys.device).expand(count, -1, -1, -1)], dim=2),
                torch.cat([values, own[1].to(keys.device).expand(count, -1, -1, -1)], dim=2),
            )
            for (keys, values), own in zip(layers, together, strict=True)
        ]
    return past_of(layers), additive(visible, layers[0][0].dtype)[:, None]


def shared_past(layers: Iterable[Sequence[Tensor]], count: int) -> DynamicCache:
    """Every layer's keys and values [groups, T, size] as what each of so many texts goes on from,
    without a copy for each."""
    return past_of(
        (keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1))
        for keys, values in layers
    )


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
