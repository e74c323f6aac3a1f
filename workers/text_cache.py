"""The text cache: what a frozen causal model makes of a text, computed once.

A prompt laid after a text cannot change the text's keys and values, so every step of every trial
reuses them and pays for its own few tokens only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from workers.batches import batches
from workers.frozen_model import FrozenModel

TokenIds = tuple[int, ...]

#: Tokens in one forward pass while encoding: enough to keep the cores busy, little memory.
_TOKENS_PER_BATCH = 2048


@dataclass(frozen=True)
class CachedTexts:
    """B cached texts, padded on the right to the longest.

    Attributes:
        past_key_values: the keys and values of all layers, ready for a forward pass.
        mask: [B, T], True where a token is.
        lengths: [B].
    """

    past_key_values: DynamicCache
    mask: Tensor
    lengths: Tensor


class TextCache:
    """Keys and values by the text's tokens, for one model.

    Attributes:
        encoded: how many texts were run through the model so far.
        bytes: the size of all that is kept.
    """

    def __init__(self, model: FrozenModel, limit: int = 4 << 30) -> None:
        """An empty cache.

        Args:
            limit: bytes to keep; beyond, the texts that were not asked for longest go first.
        """
        self._model = model
        self._limit = limit
        # In the order of their last use.
        self._rows: dict[TokenIds, Tensor] = {}
        self.bytes = 0
        self._widths: list[tuple[torch.Size, torch.Size]] = []
        self.encoded = 0

    def __contains__(self, text: TokenIds) -> bool:
        return text in self._rows

    def fill(self, texts: Sequence[TokenIds]) -> None:
        """Encode those of the texts that are not here yet; all of them are here afterwards."""
        for batch in self._missing(texts):
            self._encode(batch)
        for text in dict.fromkeys(texts):
            self._rows[text] = self._rows.pop(text)
        wanted = set(texts)
        for text in list(self._rows):
            if self.bytes <= self._limit or text in wanted:
                break
            self.forget([text])

    def prefill(self, texts: Sequence[TokenIds]) -> None:
        """Encode as many of the texts as the limit allows, ahead of their use.

        In batches of like length, which random batches are not, so it costs less than `fill` would
        in the course of a trial.
        """
        for batch in self._missing(texts):
            if self.bytes >= self._limit:
                return
            self._encode(batch)

    def _missing(self, texts: Sequence[TokenIds]) -> Iterator[list[TokenIds]]:
        missing = sorted({text for text in texts if text not in self._rows})
        lengths = [len(text) for text in missing]
        for batch in batches(lengths, lengths, _TOKENS_PER_BATCH):
            yield [missing[index] for index in batch]

    @torch.no_grad()
    def _encode(self, texts: list[TokenIds]) -> None:
        device = self._model.device
        ids = pad_sequence([torch.tensor(text) for text in texts], batch_first=True).to(device)
        lengths = torch.tensor([len(text) for text in texts], device=device)
        positions = torch.arange(ids.shape[1], device=device)
        cache = DynamicCache()
        self._model.logits(
            self._model.embed(ids),
            (positions < lengths[:, None]).long(),
            positions.expand(len(texts), -1),
            keep=lengths[:, None] - 1,
            past_key_values=cache,
        )
        # [B, heads, T, size] of each layer's keys and values, to [B, T, F] of them all.
        self._widths = [
            (layer.keys.shape[1::2], layer.values.shape[1::2]) for layer in cache.layers
        ]
        states = [state for layer in cache.layers for state in (layer.keys, layer.values)]
        flat = torch.cat([state.transpose(1, 2).flatten(2) for state in states], dim=-1)
        for text, row in zip(texts, flat, strict=True):
            self._rows[text] = row[: len(text)].clone()
            self.bytes += self._rows[text].nbytes
        self.encoded += len(texts)

    def forget(self, texts: Sequence[TokenIds]) -> None:
        """Let go of texts that will not be asked for again."""
        for text in texts:
            row = self._rows.pop(text, None)
            self.bytes -= 0 if row is None else row.nbytes

    def batch(self, texts: Sequence[TokenIds]) -> CachedTexts:
        """The B texts, all of them filled before, padded to one another."""
        rows = [self._rows[text] for text in texts]
        lengths = torch.tensor([len(row) for row in rows], device=self._model.device)
        block = pad_sequence(rows, batch_first=True)
        states = iter(block.split([size.numel() for pair in self._widths for size in pair], dim=-1))
        layers = [
            tuple(next(states).unflatten(-1, size).transpose(1, 2) for size in pair)
            for pair in self._widths
        ]
        mask = torch.arange(block.shape[1], device=block.device) < lengths[:, None]
        return CachedTexts(DynamicCache(layers), mask, lengths)
