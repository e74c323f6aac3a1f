"""Whole inputs of a causal model, one row a text: for a prompt that no cached text serves.

A front that is not being trained is computed once and shared by all texts; one that is reuses
nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.families.family import Family, real
from autoprompt.workers.past import LayerStates, additive, shared_past
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_states import TokenIds


class WholeInputs(Family):
    """Causal models, a whole pass for every prompt."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: The last front that was shared, and what it left.
        self._front: list[tuple[Tensor, list[LayerStates]]] = []

    def _shares_front(self, prompt: Laid, texts: Sequence[TokenIds]) -> bool:
        fixed = len(prompt.front) > 0 and not prompt.front.requires_grad
        return fixed and self.readout.branches.is_path and self.trusts_cache(texts)

    def _without_front(
        self, prompt: Laid, texts: Sequence[TokenIds]
    ) -> tuple[Laid, list[LayerStates]]:
        """A prompt without what may be read before these texts once for all of them, and what that
        leaves, every layer's [groups, P, size].

        Raises:
            ModelError: as `plain`.
        """
        if self._shares_front(prompt, texts):
            return prompt._replace(front=prompt.front[:0]), self._states_of_front(prompt.front)
        return prompt, self._rows_before(prompt)

    def _states_of_front(self, front: Tensor) -> list[LayerStates]:
        if not self._front or self._front[0][0] is not front:
            states = DynamicCache()
            places = torch.arange(len(front), device=self.model.device)[None]
            self.ask(
                places[:, -1:],
                inputs_embeds=front[None].to(self.model.dtype),
                attention_mask=torch.ones_like(places),
                position_ids=places,
                past_key_values=states,
            )
            layers = [(layer.keys[0], layer.values[0]) for layer in states.layers]
            # Set in place, as `asking` shares it.
            self._front[:] = [(front, layers)]
        return self._front[0][1]

    def plain(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: each text's whole input in one pass, padded on the right, and behind it the trie
        of what the answers have read. A front that is not being trained is computed once.

        Raises:
            ModelError: of a KV prompt behind a text, which goes over cached texts or not at all.
        """
        trie = self.readout.branches
        # A model that goes on from a cache as it should has heeded the same mask and positions.
        if trie.is_path or len(prompt.rows) or not self.trusts_cache(texts):
            bare, front = self._without_front(prompt, texts)
            return self._by_path(bare, texts, front)
        device = self.model.device
        words = self.read_behind(self.readout).expand(len(texts), -1, -1)
        embeds, lengths = self.pad(self._rows(prompt, texts, words[:, :0]))
        width, count = embeds.shape[1], len(trie)
        place = torch.arange(width, device=device)
        earlier = torch.ones(len(texts), width, width, dtype=torch.bool, device=device).tril()
        nothing = earlier.new_zeros(len(texts), width, count)
        all_of_it = real(lengths, width).bool()[:, None].expand(-1, count, -1)
        among = trie.sees.to(device).expand(len(texts), -1, -1)
        visible = torch.cat(
            [torch.cat([earlier, nothing], dim=2), torch.cat([all_of_it, among], dim=2)], dim=1
        )
        depths = torch.tensor(trie.depths, device=device)
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
        return self._by_path(prompt, texts, self._rows_before(prompt))

    def _by_path(
        self, prompt: Laid, texts: Sequence[TokenIds], before: Sequence[LayerStates]
    ) -> Tensor:
        """[B, L], in a pass for each path of the trie."""
        parts = []
        for number, (words, new) in enumerate(self.read_by_path()):
            past = shared_past(before, len(texts)) if before else None
            read, _ = self._over_rows(prompt, texts, words, past, self.wanted)
            # What passes before it have read is wanted once.
            parts.append(read if number == 0 else read[:, -new:])
        return self.readout(torch.cat(parts, dim=1))

    def _rows_before(self, prompt: Laid) -> list[LayerStates]:
        """The rows of a KV prompt before everything, every layer's [groups, P, size]; nothing for
        one without.

        Raises:
            ModelError: as `plain`.
        """
        if len(prompt.rows) > len(prompt.front_rows):
            raise ModelError(
                "this model cannot take a KV prompt behind a text: "
                + (self.distrust or "it keeps no plain keys and values of one")
            )
        if not len(prompt.front_rows):
            return []
        return [(keys, values) for keys, values in prompt.front_rows.permute(1, 2, 3, 0, 4)]

    def _over_rows(
        self,
        prompt: Laid,
        texts: Sequence[TokenIds],
        words: Tensor,
        past: DynamicCache | None,
        wanted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Whole inputs, padded on the right, with words [B or 1, M, H] behind each: what was found
        at an input's last token and at its words, [B, 1 + M, ...]; and which of all that is seen is
        a token, [B, all] of 0/1.

        Args:
            past: what stands before the inputs, and holds their keys and values afterwards.
        """
        embeds, lengths = self.pad(self._rows(prompt, texts, words))
        before = 0 if past is None else past.get_seq_length()
        mask = real(lengths, embeds.shape[1])
        mask = torch.cat([mask.new_ones(len(texts), before), mask], dim=1)
        positions = torch.arange(before, mask.shape[1], device=self.model.device)
        read = self.ask(
            lengths[:, None] - torch.arange(words.shape[1] + 1, 0, -1, device=self.model.device),
            wanted,
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions.expand(len(texts), -1),
            **({} if past is None else {"past_key_values": past}),
        )
        return read, mask

    def _rows(self, prompt: Laid, texts: Sequence[TokenIds], words: Tensor) -> list[Tensor]:
        tail = self.model.embed(self.question.tail_ids)
        front, back, end = (part.to(tail) for part in prompt[:3])
        behind = torch.cat([back, tail, end])
        return [
            torch.cat([front, self.model.embed(text), behind, word])
            for text, word in zip(texts, words.expand(len(texts), -1, -1), strict=True)
        ]
