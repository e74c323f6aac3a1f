"""Answers being written: what passes leave of their tokens is kept, so each pass reads one token a
text and prompt, whatever stands before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.past import Grown, LayerStates, Lot, Segment, additive, noted_past


class Generation(ABC):
    """N prompts' answers to B texts.

    Attributes:
        first: [B, N], the likeliest tokens behind the question.
    """

    first: Tensor

    @abstractmethod
    def after(self, tokens: Tensor) -> Tensor:
        """[B, N], the likeliest tokens behind these [B, N], with which the answers go on."""

    @abstractmethod
    def only(self, texts: Tensor) -> None:
        """Go on with these of the texts; the others are written."""


class _Causal(Generation):
    """A causal model's, in passes whose tokens all stand behind what is kept.

    Args:
        logits: [B, N, V], behind the question; N in the order in which passes have the prompts.
        positions: [B, N], of the tokens that follow.
        order: [N], where each prompt stands in a pass.
    """

    def __init__(
        self, model: FrozenModel, logits: Tensor, positions: Tensor, order: Tensor
    ) -> None:
        self._model = model
        self._positions = positions
        self._order, self._laid = order, order.argsort()
        self.first = logits.argmax(-1)[:, order]

    def after(self, tokens: Tensor) -> Tensor:
        self._model.keep_logits_of(None)
        logits = self._logits(self._model.embed(tokens[:, self._laid]))
        self._positions = self._positions + 1
        return logits.argmax(-1)[:, self._order]

    def only(self, texts: Tensor) -> None:
        self._positions = self._positions[texts]

    @abstractmethod
    def _logits(self, embeds: Tensor) -> Tensor:
        """[B, N, V] behind the next tokens [B, N, H]."""


class Noted(_Causal):
    """For a model whose attention reads notes: a text's keys and values serve all prompts, and a
    prompt's rows all texts.

    Args:
        lot: of the pass before, which has left `grown` behind; or of none.
    """

    def __init__(
        self, model: FrozenModel, lot: Lot, logits: Tensor, positions: Tensor, order: Tensor
    ) -> None:
        super().__init__(model, logits, positions, order)
        one = torch.ones(1, 1, dtype=torch.bool, device=model.device)
        starts = [0]
        for segment in lot.segments:
            starts.append(starts[-1] + len(segment.prompts))
        segments = [
            Segment(segment.prompts, start, 1, segment.hidden, one)
            for segment, start in zip(lot.segments, starts, strict=False)
        ]
        self._lot = replace(lot, segments=segments)
        self._past = noted_past([self._lot])

    def _logits(self, embeds: Tensor) -> Tensor:
        past, mask = self._past
        positions = self._positions.flatten()
        logits = self._model.logits(
            torch.arange(len(positions), device=positions.device),
            inputs_embeds=embeds.flatten(0, 1)[None],
            attention_mask=mask,
            position_ids=positions[None],
            past_key_values=past,
        )
        return logits[0].unflatten(0, embeds.shape[:2])

    def only(self, texts: Tensor) -> None:
        super().only(texts)
        for grown in (part for layer in self._lot.grown for part in layer):
            grown.only(texts)
        layers = [(keys[texts], values[texts]) for keys, values in self._lot.layers]
        self._lot = replace(self._lot, layers=layers, mask=self._lot.mask[texts])
        self._past = noted_past([self._lot])


def growing(layers: Sequence[LayerStates], segments: Sequence[Segment]) -> list[list[Grown]]:
    """Where passes over these layers leave what they make of these segments' tokens."""
    return [[Grown() for _ in segments] for _ in layers]


class Copied(_Causal):
    """For any causal model: what is new is copied behind what is kept.

    Args:
        past: what the pass before went on from, and left its tokens in.
        seen: [B, N, all], added to attention scores: what each prompt's last token sees of it.
    """

    def __init__(
        self,
        model: FrozenModel,
        past: DynamicCache,
        seen: Tensor,
        logits: Tensor,
        positions: Tensor,
        order: Tensor,
    ) -> None:
        super().__init__(model, logits, positions, order)
        self._past, self._seen = past, seen
        own = torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device)
        self._own = additive(own, seen.dtype)

    def _logits(self, embeds: Tensor) -> Tensor:
        own = self._own.expand(len(embeds), -1, -1)
        self._seen = torch.cat([self._seen, own], dim=-1)
        return self._model.logits(
            torch.arange(embeds.shape[1], device=embeds.device),
            inputs_embeds=embeds,
            attention_mask=self._seen[:, None],
            position_ids=self._positions,
            past_key_values=self._past,
        )

    def only(self, texts: Tensor) -> None:
        super().only(texts)
        self._past.batch_select_indices(texts)
        self._seen = self._seen[texts]


class Decoded(Generation):
    """One prompt's answers, by the decoder of a seq2seq model.

    Args:
        output: [B, T, H], the encoder's.
        mask: [B, T] bool, which of it is real.
        embeds: [1, Q, H], what the decoder reads before it answers.
        rows: the keys and values before that, [P, layers, 2, groups, size].
    """

    def __init__(
        self, model: FrozenModel, output: Tensor, mask: Tensor, embeds: Tensor, rows: Tensor
    ) -> None:
        self._model = model
        self._output, self._mask = output, mask.long()
        nothing = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._past: EncoderDecoderCache = model.over_encoder(output, self._mask, rows).get(
            "past_key_values", nothing
        )
        self.first = self._likeliest(embeds.expand(len(output), -1, -1))

    def after(self, tokens: Tensor) -> Tensor:
        return self._likeliest(self._model.embed(tokens))

    def _likeliest(self, embeds: Tensor) -> Tensor:
        """[B, 1]."""
        self._model.keep_logits_of(None)
        arguments = self._model.over_encoder(self._output, self._mask)
        arguments["past_key_values"] = self._past
        last = torch.tensor([embeds.shape[1] - 1], device=embeds.device)
        return self._model.logits(last, decoder_inputs_embeds=embeds, **arguments).argmax(-1)

    def only(self, texts: Tensor) -> None:
        self._past.batch_select_indices(texts)
        self._output, self._mask = self._output[texts], self._mask[texts]


class Anew(Generation):
    """One prompt's answers, by a model that cannot go on from what it kept: the whole input is read
    for every token.

    Args:
        read: the logits [B, V] behind these of the texts and their tokens [B, M].
        texts: B.
    """

    def __init__(self, read: Callable[[Sequence[int], Tensor], Tensor], texts: int) -> None:
        self._read = read
        self._texts = list(range(texts))
        self._tokens = torch.empty(texts, 0, dtype=torch.long)
        self.first = self._likeliest()

    def after(self, tokens: Tensor) -> Tensor:
        self._tokens = torch.cat([self._tokens.to(tokens), tokens], dim=1)
        return self._likeliest()

    def _likeliest(self) -> Tensor:
        return self._read(self._texts, self._tokens).argmax(-1)[:, None]

    def only(self, texts: Tensor) -> None:
        self._texts = [self._texts[place] for place in texts.tolist()]
        self._tokens = self._tokens[texts]
