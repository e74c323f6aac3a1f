"""Causal models: `[front][text][back][tail][end] -> label word`.

A prompt behind the text cannot change the text's keys and values, so they are computed once; of a
prompt behind the whole template, so are the template's. Several prompts share one pass over the
same text, each attending to the text and to itself only. A front that is not being trained is
computed once and shared by all texts. A front being trained reuses nothing.

Of a KV prompt nothing is computed but what sees it: at the end that is one token a text, the last
of the template, `[text][template up to it][rows][it] -> label word`; right behind the text it is
the template, `[text][rows][tail] -> label word`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import DynamicCache

from autoprompt.search_spaces.errors import BadInputError, ModelError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.families.family import Family, real
from autoprompt.workers.packing import Blocks, side_by_side
from autoprompt.workers.past import Lot, additive, copied_past, noted_past, shared_past
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_cache import CachedTexts
from autoprompt.workers.text_states import KeysAndValues, Passage, TokenIds, padded


@dataclass(frozen=True)
class _Lot:
    """Prompts behind B cached texts, as the model is given them.

    Attributes:
        blocks: the prompts side by side.
        embeds: [B, Q, H].
        positions: [B, Q].
        past: what they go on from.
    """

    blocks: Blocks
    embeds: Tensor
    positions: Tensor
    past: Lot


class CausalFamily(Family):
    """Causal models over cached keys and values."""

    reusable: ClassVar[tuple[Position, ...]] = ("suffix", "end")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        assert isinstance(self.cache.states, KeysAndValues)
        self.states = self.cache.states
        #: The last front that was shared, and what the model made of it.
        self._front: tuple[Tensor, DynamicCache] | None = None

    def _leaves_texts(self, prompt: Laid) -> bool:
        # With nothing behind the text, its own last token would have to be asked again.
        asks = prompt.tokens or len(self.question.tail_ids) or len(prompt.end_rows)
        return bool(asks) and not len(prompt.front) and not len(prompt.front_rows)

    def queries(self, prompt: Laid, texts: Sequence[TokenIds]) -> int:
        if len(prompt.end_rows):
            return super().queries(prompt, texts) + 1
        tail = 0 if len(prompt.end) else len(self.question.tail_ids)
        shared = len(prompt.front) if self._shares_front(prompt, texts) else 0
        return super().queries(prompt, texts) + tail - shared

    def keys(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> list[Passage]:
        """Texts with the template behind them, where a prompt goes over both; prompts right behind
        the text see nothing of it."""
        head = self._shared_head(prompts, texts)
        if "end" not in self._expected and not any(prompt.at_end for prompt in prompts):
            return [Passage(text, 0, head) for text in texts]
        tail = self.question.tail_ids
        asks_again = any(len(prompt.end_rows) for prompt in prompts)
        if asks_again and not tail and not all(texts):
            raise BadInputError(
                "a KV prompt at the end asks a text's last token, and a text has none; give the "
                "template words behind {text}, or drop empty texts"
            )
        return [Passage((*text, *tail), len(tail), head) for text in texts]

    def _shared_head(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> int:
        """How many tokens at the beginning of all these texts are read once for all of them: a long
        head of the template. The rows of a KV prompt mean the same behind every text only where it
        ends at position 0, so texts before one are read whole."""
        kv = self._expects_kv or any(len(prompt.rows) for prompt in prompts)
        if kv or self.states.row_shape is None:
            return 0
        return self.question.shared_head(texts)

    def read_of(self, texts: Sequence[TokenIds]) -> list[int]:
        head = self._shared_head([], texts)
        return [len(text) - head for text in texts]

    def cached(self, asked: Sequence[tuple[Sequence[Laid], CachedTexts]]) -> list[Tensor]:
        """[N, B, L] of each: all prompts in one pass behind the cached texts, where the model's
        attention merges what is kept apart; else a pass for each."""
        lots = [self._lot(*one) for one in asked]
        if not self.model.merges_attention:
            return [self._read(lot, self._copied(lot)) for lot in lots]
        past, mask = noted_past([lot.past for lot in lots])
        keep: list[Tensor] = []
        first = 0
        for lot in lots:
            count, queries = lot.positions.shape
            starts = first + queries * torch.arange(count, device=self.model.device)
            keep.append((starts[:, None] + lot.blocks.keep).flatten())
            first += count * queries
        logits = self.ask(
            torch.cat(keep),
            inputs_embeds=torch.cat([lot.embeds.flatten(0, 1) for lot in lots])[None],
            attention_mask=mask,
            position_ids=torch.cat([lot.positions.flatten() for lot in lots])[None],
            past_key_values=past,
        )
        parts = logits[0].split([len(part) for part in keep])
        return [
            self._read(lot, part.unflatten(0, (len(lot.positions), -1)))
            for lot, part in zip(lots, parts, strict=True)
        ]

    def _lot(self, prompts: Sequence[Laid], texts: CachedTexts) -> "_Lot":
        passages = texts.passages
        blocks = side_by_side(prompts, self.task, self.model, tail=passages[0].tail)
        embeds = blocks.embeds.expand(len(passages), -1, -1)
        if len(blocks.again):
            last = self.model.embed([passage.ids[-1] for passage in passages])
            places = torch.isin(torch.arange(embeds.shape[1], device=last.device), blocks.again)
            embeds = torch.where(places[:, None], last[:, None], embeds)
        # Positions are counted from where the text ended.
        behind = texts.lengths[:, None] - self.states.zero(passages)
        rows = [prompt.rows for prompt in prompts]
        if passages[0].head:
            rows = [self.states.head(passages[0].shared).rows] * len(prompts)
        past = Lot(texts.states, blocks.segments, rows, texts.mask)
        return _Lot(blocks, embeds, behind + blocks.offset, past)

    def _copied(self, lot: "_Lot") -> Tensor:
        """[B, K, kept tokens], in a pass of one row a text."""
        past, mask = copied_past(lot.past)
        return self.ask(
            lot.blocks.keep,
            inputs_embeds=lot.embeds,
            attention_mask=mask,
            position_ids=lot.positions,
            past_key_values=past,
        )

    def _read(self, lot: "_Lot", logits: Tensor) -> Tensor:
        """[N, B, L] of the logits [B, K, kept tokens]."""
        count = len(lot.blocks.order)
        scores = self.readout(logits.unflatten(1, (count, -1)))
        return scores[:, lot.blocks.order].transpose(0, 1)

    def at_once(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: the texts read anew, and all prompts in one pass behind them."""
        passages = self.keys(prompts, texts)
        kept = [passage.ids[passage.head :] for passage in passages]
        mask = padded(kept, self.model.device)[1]
        layers = self.states.layers(passages)
        return self.cached([(prompts, CachedTexts(layers, mask, passages))])[0]

    def behind_front(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor | None:
        """[B, L]: texts behind a front that is not being trained, whose own keys and values are
        computed once and shared by all of them."""
        if not self._shares_front(prompt, texts):
            return None
        model = self.model
        count, width = len(texts), len(prompt.front)
        ones = torch.ones(count, width, dtype=torch.long, device=model.device)
        front = self._states_of_front(prompt.front).layers
        past = shared_past(((layer.keys[0], layer.values[0]) for layer in front), count)
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
        """[B, L]: each text's whole input in one pass, padded on the right, and behind it the trie
        of what the answers have read.

        Raises:
            ModelError: of a KV prompt behind a text, which goes over cached texts or not at all.
        """
        trie = self.readout.branches
        # A model that goes on from a cache as it should has heeded the same mask and positions.
        if not trie or len(prompt.rows) or not self.trusts_cache(texts):
            return self.trusted(prompt, texts)
        device = self.model.device
        embeds, lengths = self.pad(self._rows(prompt, texts, ()))
        width, count = embeds.shape[1], len(trie)
        place = torch.arange(width, device=device)
        before = torch.ones(len(texts), width, width, dtype=torch.bool, device=device).tril()
        nothing = before.new_zeros(len(texts), width, count)
        all_of_it = real(lengths, width).bool()[:, None].expand(-1, count, -1)
        among = trie.sees.to(device).expand(len(texts), -1, -1)
        visible = torch.cat(
            [torch.cat([before, nothing], dim=2), torch.cat([all_of_it, among], dim=2)], dim=1
        )
        depths = torch.tensor(trie.depths, device=device)
        words = self.model.embed(trie.tokens).expand(len(texts), -1, -1)
        behind = (width + torch.arange(count, device=device)).expand(len(texts), -1)
        read = self.ask(
            torch.cat([lengths[:, None] - 1, behind], dim=1),
            inputs_embeds=torch.cat([embeds, words], dim=1),
            attention_mask=additive(visible, self.model.dtype)[:, None],
            position_ids=torch.cat(
                [place.expand(len(texts), -1), lengths[:, None] + depths], dim=1
            ),
        )
        return self.readout(read)

    def trusted(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: a plain pass, which any causal model takes, for each path of the trie.

        Raises:
            ModelError: as `plain`.
        """
        if len(prompt.rows) > len(prompt.front_rows):
            raise ModelError(
                "this model cannot take a KV prompt behind a text: "
                + (self.distrust or "it keeps no plain keys and values of one")
            )
        rows, count = prompt.front_rows, len(texts)
        device = self.model.device
        parts = []
        for number, (path, new) in enumerate(self.readout.branches.paths()):
            embeds, lengths = self.pad(self._rows(prompt, texts, path))
            positions = torch.arange(embeds.shape[1], device=device) + len(rows)
            mask = real(lengths, embeds.shape[1])
            more: dict[str, Any] = {}
            if len(rows):
                more["past_key_values"] = shared_past(rows.permute(1, 2, 3, 0, 4), count)
                mask = torch.cat([mask.new_ones(count, len(rows)), mask], dim=1)
            read = self.ask(
                lengths[:, None] - 1 - torch.arange(len(path), -1, -1, device=device),
                inputs_embeds=embeds,
                attention_mask=mask,
                position_ids=positions.expand(count, -1),
                **more,
            )
            # What passes before it have read is wanted once.
            parts.append(read if number == 0 else read[:, -new:])
        return self.readout(torch.cat(parts, dim=1))

    def _rows(self, prompt: Laid, texts: Sequence[TokenIds], path: TokenIds) -> list[Tensor]:
        tail, word = self.model.embed(self.question.tail_ids), self.model.embed(path)
        front, back, end = (part.to(tail) for part in prompt[:3])
        behind = torch.cat([back, tail, end, word])
        return [torch.cat([front, self.model.embed(text), behind]) for text in texts]
