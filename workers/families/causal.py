"""Causal models: `[front][text][back][tail][end] -> label word`.

A prompt behind the text cannot change the text's keys and values, so they are computed once; of a
prompt behind the whole template, so are the template's. Several prompts share one pass over the
same text, each attending to the text and to itself only. A front that is not being trained is
computed once and shared by all texts. A front being trained reuses nothing.

Of a KV prompt nothing is computed but what sees it: at the end that is one token a text, the last
of the template, `[text][template up to it][rows][it] -> label word`; right behind the text it is
the template, `[text][rows][tail] -> label word`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from transformers import DynamicCache

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.continuations import Continuations
from autoprompt.workers.families.family import Behind
from autoprompt.workers.families.generation import Anew, Copied, Generation, Noted, growing
from autoprompt.workers.families.whole_inputs import WholeInputs
from autoprompt.workers.packing import Blocks, side_by_side
from autoprompt.workers.past import Lot, Segment, additive, copied_past, noted_past, shared_past
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_cache import CachedTexts
from autoprompt.workers.text_states import KeysAndValues, Passage, TokenIds, padded


@dataclass(frozen=True)
class _Lot:
    """Prompts behind B cached texts, as the model is given them.

    Attributes:
        blocks: the prompts side by side.
        readout: what is read behind them, and asked.
        embeds: [B, Q, H].
        positions: [B, Q].
        past: what they go on from.
    """

    blocks: Blocks
    readout: Behind
    embeds: Tensor
    positions: Tensor
    past: Lot

    @property
    def wanted(self) -> Tensor | None:
        """[B, N * T], the tokens that are asked of each text's prompts; None for the readout's."""
        if not isinstance(self.readout, Continuations):
            return None
        return self.readout.tokens.repeat(1, len(self.blocks.order))


class CausalFamily(WholeInputs):
    """Causal models over cached keys and values."""

    reusable: ClassVar[tuple[Position, ...]] = ("suffix", "end")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        assert isinstance(self.cache.states, KeysAndValues)
        self.states = self.cache.states

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

    def cached(
        self,
        asked: Sequence[tuple[Sequence[Laid], CachedTexts]],
        readouts: Sequence[Behind] | None = None,
    ) -> list[Tensor]:
        """[N, B, L] of each: all prompts in one pass behind the cached texts, where the model's
        attention merges what is kept apart; else a pass for each."""
        each = readouts or [self.readout] * len(asked)
        lots = [self._lot(*one, readout) for one, readout in zip(asked, each, strict=True)]
        if not self.model.merges_attention:
            return [
                self._read(lot, self._copied(lot, *copied_past(lot.past), wanted=lot.wanted))
                for lot in lots
            ]
        wanted = [lot.wanted.flatten() for lot in lots if lot.wanted is not None]
        logits = self._noted(lots, wanted=torch.cat(wanted)[None] if wanted else None)
        parts = logits[0].split([len(lot.positions) * len(lot.blocks.keep) for lot in lots])
        return [
            self._read(lot, part.unflatten(0, (len(lot.positions), -1)))
            for lot, part in zip(lots, parts, strict=True)
        ]

    def _lot(self, prompts: Sequence[Laid], texts: CachedTexts, readout: Behind) -> "_Lot":
        passages, behind = texts.passages, self.read_behind(readout)
        tail_ids, tail = self.question.tail_ids, passages[0].tail
        blocks = side_by_side(prompts, tail_ids, readout.branches, behind, self.model, tail)
        embeds = blocks.embeds.expand(len(passages), -1, -1)
        if len(blocks.again):
            last = self.model.embed([passage.ids[-1] for passage in passages])
            places = torch.isin(torch.arange(embeds.shape[1], device=last.device), blocks.again)
            embeds = torch.where(places[:, None], last[:, None], embeds)
        # Positions are counted from where the text ended.
        ended = texts.lengths[:, None] - self.states.zero(passages)
        rows = [prompt.rows for prompt in prompts]
        if passages[0].head:
            rows = [self.states.head(passages[0].shared).rows] * len(prompts)
        past = Lot(texts.states, blocks.segments, rows, texts.mask)
        return _Lot(blocks, readout, embeds, ended + blocks.offset, past)

    def _noted(self, lots: "Sequence[_Lot]", wanted: Tensor | None = None) -> Tensor:
        """[1, all kept tokens, ...], lot by lot and text by text, in one pass."""
        past, mask = noted_past([lot.past for lot in lots])
        keep: list[Tensor] = []
        first = 0
        for lot in lots:
            count, queries = lot.positions.shape
            starts = first + queries * torch.arange(count, device=self.model.device)
            keep.append((starts[:, None] + lot.blocks.keep).flatten())
            first += count * queries
        return self.ask(
            torch.cat(keep),
            wanted,
            inputs_embeds=torch.cat([lot.embeds.flatten(0, 1) for lot in lots])[None],
            attention_mask=mask,
            position_ids=torch.cat([lot.positions.flatten() for lot in lots])[None],
            past_key_values=past,
        )

    def _copied(
        self, lot: "_Lot", past: DynamicCache, mask: Tensor, wanted: Tensor | None = None
    ) -> Tensor:
        """[B, kept tokens, ...], in a pass of one row a text, behind what `copied_past` gave."""
        return self.ask(
            lot.blocks.keep,
            wanted,
            inputs_embeds=lot.embeds,
            attention_mask=mask,
            position_ids=lot.positions,
            past_key_values=past,
        )

    def _read(self, lot: "_Lot", logits: Tensor) -> Tensor:
        """[N, B, L] of what was found at the kept tokens, [B, K, ...]."""
        count = len(lot.blocks.order)
        scores = lot.readout(logits.unflatten(1, (count, -1)))
        return scores[:, lot.blocks.order].transpose(0, 1)

    def at_once(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: the texts read anew, and all prompts in one pass behind them."""
        return self.each_at_once([(prompts, texts)])[0]

    def each_at_once(
        self, asked: Sequence[tuple[Sequence[Laid], Sequence[TokenIds]]]
    ) -> list[Tensor]:
        """[N, B, L] of each: all texts read anew in one pass, and behind each, in another, the
        prompts that are asked of it."""
        prompts = [prompt for own, _ in asked for prompt in own]
        passages = self.keys(prompts, [text for _, own in asked for text in own])
        kept = [passage.ids[passage.head :] for passage in passages]
        mask = padded(kept, self.model.device)[1]
        layers = self.states.layers(passages)
        lots: list[tuple[Sequence[Laid], CachedTexts]] = []
        first = 0
        for own, texts in asked:
            part = slice(first, first + len(texts))
            states = [(keys[part], values[part]) for keys, values in layers]
            lots.append((own, CachedTexts(states, mask[part], passages[part])))
            first = part.stop
        return self.cached(lots)

    def behind_read(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds], rows: Sequence[Tensor]
    ) -> Tensor:
        """[N, B, L] as `at_once` has it of KV prompts at the end, where the texts' own rows [T, F]
        are known: of the texts with the template behind them only the latter is read."""
        passages = self.keys(prompts, texts)
        read = self.states.read_on(rows, passages)
        mask = padded([passage.ids for passage in passages], self.model.device)[1]
        states = self.states.batch(read)
        return self.cached([(prompts, CachedTexts(states, mask, passages))])[0]

    def generations(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds]
    ) -> Iterator[Generation]:
        """Answers being written: of prompts that go over cached texts together, else prompt by
        prompt."""
        if self.reuses(prompts, texts):
            yield self._asking_next(texts)._behind_cached(prompts, self.fill(prompts, texts))
            return
        goes_on = self.trusts_cache(texts)
        for prompt in prompts:
            family = self._asking_next(texts)
            yield family._behind_whole(prompt, texts) if goes_on else family._anew(prompt, texts)

    def _asking_next(self, texts: Sequence[TokenIds]) -> Self:
        """The same for all tokens that may follow, behind which nothing is known yet."""
        return self.asking(Continuations.of([()] * len(texts), self.model.device))

    def _behind_cached(self, prompts: Sequence[Laid], texts: CachedTexts) -> Generation:
        lot = self._lot(prompts, texts, self.readout)
        blocks = lot.blocks
        positions = lot.positions[:, blocks.keep] + 1
        if self.model.merges_attention:
            growing_past = replace(lot.past, grown=growing(lot.past.layers, blocks.segments))
            logits = self._noted([replace(lot, past=growing_past)])[0]
            logits = logits.unflatten(0, positions.shape)
            return Noted(self.model, growing_past, logits, positions, blocks.order)
        past, mask = copied_past(lot.past)
        logits = self._copied(lot, past, mask)
        seen = mask[:, 0, blocks.keep]
        return Copied(self.model, past, seen, logits, positions, blocks.order)

    def _behind_whole(self, prompt: Laid, texts: Sequence[TokenIds]) -> Generation:
        """Behind whole inputs, whose keys and values are kept as a cached text's are."""
        bare, before = self._without_front(prompt, texts)
        past, device = shared_past(before, len(texts)), self.model.device
        logits, mask = self._over_rows(bare, texts, self.read_behind(self.readout), past)
        positions, order = mask.sum(1, keepdim=True), torch.arange(1, device=device)
        if not self.model.merges_attention:
            seen = additive(mask.bool(), self.model.dtype)[:, None]
            return Copied(self.model, past, seen, logits, positions, order)
        layers = [(layer.keys, layer.values) for layer in past.layers]
        one = torch.ones(1, 1, dtype=torch.bool, device=device)
        segments = [Segment((0,), 0, 1, 0, one)]
        lot = Lot(layers, segments, [prompt.rows[:0]], mask.bool(), growing(layers, segments))
        return Noted(self.model, lot, logits, positions, order)

    def _anew(self, prompt: Laid, texts: Sequence[TokenIds]) -> Generation:
        before = self._rows_before(prompt)

        def read(places: Sequence[int], tokens: Tensor) -> Tensor:
            own, words = [texts[place] for place in places], self.model.embed(tokens)
            past = shared_past(before, len(own)) if before else None
            return self._over_rows(prompt, own, words, past)[0][:, -1]

        return Anew(read, len(texts))
