"""The hidden states of a text by itself, laid out as rows that a cache can keep.

A causal model leaves keys and values behind, a model with an encoder its encoder's output. Either
is [T, F]: one row of F numbers for each of the text's T tokens.

Where a model counts only how far tokens are apart (rotary embeddings), every text is laid so that
it ends right before position 0: what stands behind it is then at the same positions behind a short
text and a long one, and so the keys of a prompt's rows are rotated once.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_config import decoder_start
from autoprompt.workers.past import LayerStates, past_of, shared_past

TokenIds = tuple[int, ...]


class Passage(NamedTuple):
    """What is kept of a text.

    Attributes:
        ids: its tokens, and maybe those of the template behind it.
        tail: how many of them are the template's.
        head: how many at their beginning are other texts' too, and kept once for all of them.
    """

    ids: TokenIds
    tail: int = 0
    head: int = 0

    @property
    def length(self) -> int:
        """How many tokens are kept for this text alone."""
        return len(self.ids) - self.head

    @property
    def shared(self) -> TokenIds:
        """What is kept once for all texts that begin with it."""
        return self.ids[: self.head]


class Head(NamedTuple):
    """What a head that texts share leaves.

    Attributes:
        layers: every layer's keys and values, each [1, groups, T, size].
        rows: the same, [T, layers, 2, groups, size].
    """

    layers: list[LayerStates]
    rows: Tensor


class TextStates(Protocol):
    """How one family's texts become rows.

    Attributes:
        width: F.
    """

    @property
    def width(self) -> int: ...

    def encode(self, passages: Sequence[Passage]) -> Tensor:
        """[B, T, F], padded on the right; without gradients."""
        ...

    def batch(self, rows: Sequence[Tensor]) -> Any:
        """Rows [T, F] of B texts, T their own, as a pass goes over them, padded on the right."""
        ...


def states_of(model: FrozenModel) -> "KeysAndValues | EncoderOutputs":
    """The states that a model leaves of a text."""
    return EncoderOutputs(model) if model.family == "seq2seq" else KeysAndValues(model)


def padded(texts: Sequence[TokenIds], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [B, T], padded on the right, and which of them are real, [B, T] bool."""
    ids = pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
    lengths = on_device([len(text) for text in texts], device)
    ids = on_device(ids, device)
    return ids, torch.arange(ids.shape[1], device=device) < lengths[:, None]


class KeysAndValues:
    """Every layer's keys and values, side by side."""

    def __init__(self, model: FrozenModel) -> None:
        self._model = model
        #: By its tokens, the head that was read last, which texts share.
        self._heads: dict[TokenIds, Head] = {}

    @cached_property
    @torch.no_grad()
    def sizes(self) -> list[tuple[torch.Size, torch.Size, torch.device]]:
        """(heads, size) of every layer's keys and of its values, and where the layer is, read off
        one token's cache."""
        one = torch.zeros(1, 1, dtype=torch.long, device=self._model.device)
        cache = self._read(self._model.embed(one), one + 1, one)
        return [
            (layer.keys.shape[1::2], layer.values.shape[1::2], layer.keys.device)
            for layer in cache.layers
        ]

    @property
    def width(self) -> int:
        return sum(self.widths)

    @property
    def widths(self) -> list[int]:
        """How many of the F numbers are each layer's keys, and its values, in turn."""
        return [size.numel() for *pair, _ in self.sizes for size in pair]

    @cached_property
    def row_shape(self) -> tuple[int, int, int, int] | None:
        """[layers, 2, groups, size] of a KV prompt's row; None where layers differ."""
        shapes = {size for *pair, _ in self.sizes for size in pair}
        return (len(self.sizes), 2, *shapes.pop()) if len(shapes) == 1 else None

    def _read(
        self, embeds: Tensor, mask: Tensor, positions: Tensor, past: DynamicCache | None = None
    ) -> DynamicCache:
        cache = DynamicCache() if past is None else past
        self._model.logits(
            on_device([embeds.shape[1] - 1], self._model.device),
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
        )
        return cache

    @torch.no_grad()
    def layers(self, passages: Sequence[Passage]) -> list[LayerStates]:
        """Every layer's keys and values of B texts, each [B, groups, T, size], padded on the
        right, without those of the head that all of them share."""
        head = passages[0].shared
        ids, real = padded([passage.ids[len(head) :] for passage in passages], self._model.device)
        positions = torch.arange(ids.shape[1], device=self._model.device) - self.zero(passages)
        if not head:
            cache = self._read(self._model.embed(ids), real.long(), positions)
            return [(layer.keys, layer.values) for layer in cache.layers]
        past = shared_past(
            ((keys[0], values[0]) for keys, values in self.head(head).layers), len(passages)
        )
        mask = torch.cat([real.new_ones(len(passages), len(head)), real], dim=1)
        cache = self._read(self._model.embed(ids), mask.long(), positions, past)
        return [
            (
                layer.keys[:, :, len(head) :].contiguous(),
                layer.values[:, :, len(head) :].contiguous(),
            )
            for layer in cache.layers
        ]

    @torch.no_grad()
    def read_on(self, rows: Sequence[Tensor], passages: Sequence[Passage]) -> list[Tensor]:
        """The rows of B passages without heads, each [T, F], of which those of the first tokens are
        known: only what stands behind these is read.

        Args:
            rows: [T, F] each, T its own.
        """
        device = self._model.device
        tails = [passage.ids[len(row) :] for row, passage in zip(rows, passages, strict=True)]
        ids, real = padded(tails, device)
        known = on_device([len(row) for row in rows], device)[:, None]
        most = max(map(len, rows))
        mask = torch.cat([torch.arange(most, device=device) < known, real], dim=1)
        positions = known + torch.arange(ids.shape[1], device=device) - self.zero(passages)
        past = past_of(self.batch(rows))
        cache = self._read(self._model.embed(ids), mask.long(), positions, past)
        states = [
            state[:, :, most:] for layer in cache.layers for state in (layer.keys, layer.values)
        ]
        block = self._flat(states)
        return [
            torch.cat([row, own[: len(tail)]])
            for row, own, tail in zip(rows, block, tails, strict=True)
        ]

    @torch.no_grad()
    def head(self, ids: TokenIds) -> "Head":
        """What a head leaves; of the one that was asked for last it is kept."""
        if ids not in self._heads:
            positions = torch.arange(len(ids), device=self._model.device)[None]
            if self._model.counts_distances:
                positions = positions - len(ids)
            cache = self._read(self._model.embed(ids)[None], torch.ones_like(positions), positions)
            layers = [(layer.keys, layer.values) for layer in cache.layers]
            rows = _rows_of(cache, self._model.device)[0].to(self._model.dtype)
            self._heads = {ids: Head(layers, rows)}
        return self._heads[ids]

    @torch.no_grad()
    def behind(self, passages: Sequence[Passage], embeds: Tensor) -> Tensor:
        """The keys and values that P input embeddings [P, H] leave behind B texts:
        [B, P, layers, 2, groups, size] float32.

        Raises:
            ModelError: the layers keep no plain keys and values of one shape.
        """
        if self.row_shape is None or not self._model.takes_rows:
            raise ModelError(
                "this model cannot take a KV prompt: its layers keep no plain keys and values of "
                "one shape that mean the same behind a short text and a long one; leave kv out"
            )
        rows = [torch.cat([self._model.embed(passage.ids), embeds]) for passage in passages]
        block = pad_sequence(rows, batch_first=True)
        lengths = on_device([len(row) for row in rows], block.device)[:, None]
        places = torch.arange(block.shape[1], device=block.device)
        cache = self._read(block, (places < lengths).long(), places - self.zero(passages))
        states = _rows_of(cache, block.device)
        return torch.stack(
            [own[len(row) - len(embeds) : len(row)] for own, row in zip(states, rows, strict=True)]
        )

    def zero(self, passages: Sequence[Passage]) -> Tensor:
        """[B, 1], how many tokens that are kept for a text stand before position 0: all of it, or
        none where the model counts from the beginning. A shared head ends right before position 0,
        or begins there; below 0, so many of its tokens do not."""
        if self._model.counts_distances:
            before = [0 if own.head else len(own.ids) - own.tail for own in passages]
        else:
            before = [-own.head for own in passages]
        return on_device(before, self._model.device)[:, None]

    def encode(self, passages: Sequence[Passage]) -> Tensor:
        """[B, T, F]."""
        if len({passage.shared for passage in passages}) > 1:
            alone = [self.encode([passage])[0] for passage in passages]
            return pad_sequence(alone, batch_first=True)
        return self._flat([state for pair in self.layers(passages) for state in pair])

    def _flat(self, states: Sequence[Tensor]) -> Tensor:
        """[B, T, F] of keys and values in turn, each [B, groups, T, size]."""
        flat = [state.transpose(1, 2).flatten(2).to(self._model.device) for state in states]
        return torch.cat(flat, dim=-1)

    def batch(self, rows: Sequence[Tensor]) -> list[LayerStates]:
        """Every layer's keys and values, each [B, groups, T, size] and in one piece."""
        most = max(map(len, rows))
        layers: list[LayerStates] = []
        if self.row_shape is not None and len({device for *_, device in self.sizes}) == 1:
            count, _, groups, size = self.row_shape
            block = rows[0].new_zeros(count, 2, len(rows), groups, most, size)
            for number, row in enumerate(rows):
                states = row.view(len(row), *self.row_shape).permute(1, 2, 3, 0, 4)
                block[:, :, number, :, : len(row)] = states
            return [(keys, values) for keys, values in block]
        states = iter(pad_sequence(list(rows), batch_first=True).split(self.widths, dim=-1))
        for keys, values, device in self.sizes:
            pair = [
                next(states).to(device).unflatten(-1, sizes).transpose(1, 2)
                for sizes in (keys, values)
            ]
            layers.append((pair[0], pair[1]))
        return layers


class EncoderOutputs:
    """The encoder's last hidden states, which the decoder attends to."""

    def __init__(self, model: FrozenModel) -> None:
        self._model = model

    @property
    def width(self) -> int:
        return self._model.hidden_size

    @torch.no_grad()
    def encode(self, passages: Sequence[Passage]) -> Tensor:
        """[B, T, H]."""
        ids, real = padded([passage.ids for passage in passages], self._model.device)
        return self._model.encoder_output(self._model.embed(ids), real.long())

    def batch(self, rows: Sequence[Tensor]) -> Tensor:
        """[B, T, H]."""
        return pad_sequence(list(rows), batch_first=True)

    @torch.no_grad()
    def behind(self, passages: Sequence[Passage], embeds: Tensor) -> Tensor:
        """The keys and values that P input embeddings [P, H] leave in the decoder behind its start,
        over the encoder's outputs for B texts: [B, P, layers, 2, groups, size] float32."""
        model = self._model
        ids, real = padded([passage.ids for passage in passages], model.device)
        start = model.embed([decoder_start(model.model.config)])
        inputs = torch.cat([start, embeds]).expand(len(passages), -1, -1)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        model.logits(
            torch.tensor([len(embeds)], device=model.device),
            encoder_outputs=BaseModelOutput(
                last_hidden_state=model.encoder_output(model.embed(ids), real.long())
            ),
            attention_mask=real.long(),
            decoder_inputs_embeds=inputs,
            past_key_values=cache,
        )
        return _rows_of(cache.self_attention_cache, model.device)[:, 1:]


def _rows_of(cache: DynamicCache, device: torch.device) -> Tensor:
    """A cache of B inputs as [B, T, layers, 2, groups, size] float32."""
    states = torch.stack(
        [torch.stack([layer.keys, layer.values]).to(device) for layer in cache.layers]
    )
    # from [layers, 2, B, groups, T, size]
    return states.permute(2, 4, 0, 1, 3, 5).float()
