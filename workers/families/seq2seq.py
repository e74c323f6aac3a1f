"""Sequence-to-sequence models: the encoder reads `[front][text][back][tail][end]`, the decoder
answers behind its start token.

A soft prompt may stand on the encoder's side, as in Lester et al. 2021, where it changes the
encoder's output for the text. Or it stands behind the decoder's start: then the encoder's output
for the template with its text is computed once, and a step pays for the decoder's few tokens only.
A KV prompt stands before the decoder's start (Li and Liang 2021), and costs no tokens.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.families.family import Family
from autoprompt.workers.model_config import decoder_start
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_cache import CachedTexts
from autoprompt.workers.text_states import EncoderOutputs, Passage, TokenIds, padded


class Seq2SeqFamily(Family):
    """Sequence-to-sequence models over cached encoder outputs."""

    positions: ClassVar[frozenset[Position]] = Family.positions | {"decoder"}
    reusable: ClassVar[tuple[Position, ...]] = ("decoder",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        start = decoder_start(self.model.model.config)
        #: What the decoder reads before it answers.
        self._start: TokenIds = (start, *self.question.answer_ids)
        self._states = EncoderOutputs(self.model)

    def _leaves_texts(self, prompt: Laid) -> bool:
        return prompt.tokens == len(prompt.decoder)

    def queries(self, prompt: Laid, texts: Sequence[TokenIds]) -> int:
        return super().queries(prompt, texts) + len(self._start)

    def keys(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> list[Passage]:
        behind = (*self.question.tail_ids, *self.question.end_ids)
        return [Passage((*text, *behind), len(behind)) for text in texts]

    def cached(self, asked: Sequence[tuple[Sequence[Laid], CachedTexts]]) -> list[Tensor]:
        """[N, B, L] of each: the decoder over the encoder's kept outputs, prompt by prompt, because
        its positions may be relative and cannot be laid side by side."""
        return [
            torch.stack([self._decode(prompt, texts.states, texts.mask) for prompt in prompts])
            for prompts, texts in asked
        ]

    def at_once(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: the encoder runs once for all prompts, and nothing is kept."""
        keys = self.keys(prompts, texts)
        mask = padded([key.ids for key in keys], self.model.device)[1]
        output = self._states.encode(keys)
        return torch.stack([self._decode(prompt, output, mask) for prompt in prompts])

    def plain(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: encoder and decoder."""
        model = self.model
        tail, last = model.embed(self.question.tail_ids), model.embed(self.question.end_ids)
        front, back, end = (part.to(tail) for part in prompt[:3])
        behind = torch.cat([back, tail, end, last])
        rows = [torch.cat([front, model.embed(text), behind]) for text in texts]
        embeds, lengths = self.pad(rows)
        mask = torch.arange(embeds.shape[1], device=model.device) < lengths[:, None]
        return self._decode(prompt, model.encoder_output(embeds, mask.long()), mask)

    def _decode(self, prompt: Laid, output: Tensor, mask: Tensor) -> Tensor:
        """[B, L] from the encoder's output [B, T, H] and which of it is real [B, T].

        Where the answers have tokens read, a pass for each path of their trie: a decoder counts
        its positions itself (T5's are relative, BART's learned), so that nothing can be laid side
        by side in it.
        """
        model = self.model
        model.keep_logits_of(self.readout.kept)
        start = model.embed(self._start)
        rows = prompt.decoder_rows.to(start)
        parts = []
        for number, (path, new) in enumerate(self.readout.branches.paths()):
            embeds = torch.cat([start, prompt.decoder.to(start), model.embed(path)])
            asked = torch.arange(len(embeds) - 1 - len(path), len(embeds), device=model.device)
            read = model.decoder_logits(
                output, mask.long(), embeds.expand(len(output), -1, -1), asked, rows
            )
            # What passes before it have read is wanted once.
            parts.append(read if number == 0 else read[:, -new:])
        return self.readout(torch.cat(parts, dim=1))
