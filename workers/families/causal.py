"""Causal models: `[front][text][back][tail][end] -> label word`.

A prompt behind the text cannot change the text's keys and values, so they are computed once; of a
prompt behind the whole template, so are the template's. Several prompts share one pass over the
same text, each attending to the text and to itself only (a block-diagonal mask). A front that is
not being trained is computed once and shared by all texts. A front being trained reuses nothing.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import DynamicCache

from autoprompt.search_spaces.schema import Position
from autoprompt.workers.families.family import Family, real
from autoprompt.workers.packing import side_by_side
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_cache import CachedTexts
from autoprompt.workers.text_states import KeysAndValues, TokenIds, padded, past_of


class CausalFamily(Family):
    """Causal models over cached keys and values."""

    reusable: ClassVar[tuple[Position, ...]] = ("suffix", "end")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._states = KeysAndValues(self.model)
        #: The last front that was shared, and what the model made of it.
        self._front: tuple[Tensor, DynamicCache] | None = None

    def _leaves_texts(self, prompt: Laid) -> bool:
        # With nothing behind the text, its own last token would have to be asked again.
        asks = prompt.tokens or len(self.question.tail_ids)
        return bool(asks) and not len(prompt.front)

    def queries(self, prompt: Laid, texts: Sequence[TokenIds]) -> int:
        tail = 0 if len(prompt.end) else len(self.question.tail_ids)
        shared = len(prompt.front) if self._shares_front(prompt, texts) else 0
        return super().queries(prompt, texts) + tail - shared

    @property
    def _keeps_tails(self) -> bool:
        """Whether the cache keeps texts with their templates, which prompts at the end go over."""
        return "end" in self._expected

    def keys(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> list[TokenIds]:
        if self._keeps_tails or _at_the_end(prompts):
            return self._with_tails(texts)
        return list(texts)

    def fill(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> CachedTexts:
        """As in any family; prompts right behind the text see nothing of a tail that was kept."""
        keys = self.keys(prompts, texts)
        self.cache.fill(keys)
        surplus = self._keeps_tails and not _at_the_end(prompts)
        return self.cache.batch(keys, without=len(self.question.tail_ids) if surplus else 0)

    def _with_tails(self, texts: Sequence[TokenIds]) -> list[TokenIds]:
        return [(*text, *self.question.tail_ids) for text in texts]

    def cached(self, prompts: Sequence[Laid], texts: CachedTexts) -> Tensor:
        """[N, B, L]: all prompts in one pass behind the cached texts."""
        blocks = side_by_side(prompts, self.task, self.model, tail=not _at_the_end(prompts))
        count, queries = len(texts.mask), len(blocks.embeds)
        visible = torch.cat(
            [
                texts.mask[:, None, :].expand(-1, queries, -1),
                blocks.visible.expand(count, -1, -1),
            ],
            dim=-1,
        )
        logits = self.ask(
            blocks.keep,
            inputs_embeds=blocks.embeds.expand(count, -1, -1),
            attention_mask=self._additive(visible),
            position_ids=texts.lengths[:, None] + blocks.offset,
            past_key_values=self._states.past(texts.rows),
        )
        return self.readout(logits.unflatten(1, (len(prompts), -1))).transpose(0, 1)

    def at_once(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: the texts and all prompts behind them in one pass, nothing kept."""
        model = self.model
        at_the_end = _at_the_end(prompts)
        blocks = side_by_side(prompts, self.task, self.model, tail=not at_the_end)
        read = self._with_tails(texts) if at_the_end else texts
        ids, is_text = padded(read, model.device)
        lengths = is_text.sum(1)
        count, width = ids.shape
        queries = len(blocks.embeds)
        place = torch.arange(width, device=model.device)
        # A text sees what came before in itself; a block sees the whole text and its own past.
        text_rows = torch.cat(
            [
                (place[:, None] >= place).expand(count, -1, -1),
                torch.zeros(count, width, queries, dtype=torch.bool, device=model.device),
            ],
            dim=-1,
        )
        block_rows = torch.cat(
            [is_text[:, None, :].expand(-1, queries, -1), blocks.visible.expand(count, -1, -1)],
            dim=-1,
        )
        logits = self.ask(
            width + blocks.keep,
            inputs_embeds=torch.cat([model.embed(ids), blocks.embeds.expand(count, -1, -1)], dim=1),
            attention_mask=self._additive(torch.cat([text_rows, block_rows], dim=1)),
            position_ids=torch.cat(
                [place.expand(count, -1), lengths[:, None] + blocks.offset], dim=1
            ),
        )
        return self.readout(logits.unflatten(1, (len(prompts), -1))).transpose(0, 1)

    def _additive(self, visible: Tensor) -> Tensor:
        """[B, Q, T] bool to [B, 1, Q, T] to add to attention scores, which every implementation
        of attention understands."""
        dtype = self.model.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]

    def behind_front(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor | None:
        """[B, L]: texts behind a front that is not being trained, whose own keys and values are
        computed once and shared by all of them."""
        if not self._shares_front(prompt, texts):
            return None
        model = self.model
        count, width = len(texts), len(prompt.front)
        ones = torch.ones(count, width, dtype=torch.long, device=model.device)
        past = past_of(
            (layer.keys.expand(count, -1, -1, -1), layer.values.expand(count, -1, -1, -1))
            for layer in self._states_of_front(prompt.front).layers
        )
        rows = self._rows(prompt._replace(front=prompt.front[:0]), texts, ())
        embeds, lengths = self.pad(rows)
        offset = torch.arange(embeds.shape[1], device=model.device)
        logits = self.ask(
            lengths[:, None] - 1,
            inputs_embeds=embeds,
            attention_mask=torch.cat([ones, real(lengths, len(offset))], dim=1),
            position_ids=(width + offset).expand(count, -1),
            past_key_values=past,
        )
        return self.readout(logits)

    def _shares_front(self, prompt: Laid, texts: Sequence[TokenIds]) -> bool:
        fixed = len(prompt.front) > 0 and not prompt.front.requires_grad
        return fixed and not self.readout.branches and self.trusts_cache(texts)

    def _states_of_front(self, front: Tensor) -> DynamicCache:
        if self._front is None or self._front[0] is not front:
            states = DynamicCache()
            places = torch.arange(len(front), device=self.model.device)[None]
            self.ask(
                places[:, -1:],
                inputs_embeds=front[None].to(self.model.dtype),
                attention_mask=torch.ones_like(places),
                position_ids=places,
                past_key_values=states,
            )
            self._front = (front, states)
        return self._front[1]

    def plain(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: each text's whole input in one pass, padded on the right; a pass more for each
        further word of several tokens."""
        parts = []
        for number, branch in enumerate(self.readout.branches or ((),)):
            embeds, lengths = self.pad(self._rows(prompt, texts, branch))
            positions = torch.arange(embeds.shape[1], device=self.model.device)
            read = self.ask(
                lengths[:, None] - 1 - torch.arange(len(branch), -1, -1, device=self.model.device),
                inputs_embeds=embeds,
                attention_mask=real(lengths, len(positions)),
                position_ids=positions.expand(len(texts), -1),
            )
            # The template's end is read in every pass, and wanted once.
            parts.append(read if number == 0 else read[:, 1:])
        return self.readout(torch.cat(parts, dim=1))

    def _rows(self, prompt: Laid, texts: Sequence[TokenIds], branch: TokenIds) -> list[Tensor]:
        tail, word = self.model.embed(self.question.tail_ids), self.model.embed(branch)
        front, back, end = (part.to(tail) for part in prompt[:3])
        behind = torch.cat([back, tail, end, word])
        return [torch.cat([front, self.model.embed(text), behind]) for text in texts]


def _at_the_end(prompts: Sequence[Laid]) -> bool:
    """Whether all of the prompts stand behind the whole template."""
    return all(len(prompt.end) for prompt in prompts)
