"""Sequence-to-sequence models: the encoder reads `[front][text][back][tail][end]`, the decoder
answers behind its start token.

A soft prompt may stand on the encoder's side, as in Lester et al. 2021, where it changes the
encoder's output for the text. Or it stands behind the decoder's start: then the encoder's output
for the template with its text is computed once, and a step pays for the decoder's few tokens only.
A KV prompt stands before the decoder's start (Li and Liang 2021), and costs no tokens.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.families.family import Behind, Family
from autoprompt.workers.families.generation import Decoded, Generation
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

    def cached(
        self,
        asked: Sequence[tuple[Sequence[Laid], CachedTexts]],
        readouts: Sequence[Behind] | None = None,
    ) -> list[Tensor]:
        """[N, B, L] of each: the decoder over the encoder's kept outputs, prompt by prompt, because
        its positions may be relative and cannot be laid side by side."""
        each = [self] * len(asked) if readouts is None else [self.asking(one) for one in readouts]
        return [
            torch.stack([family._decode(prompt, texts.states, texts.mask) for prompt in prompts])
            for family, (prompts, texts) in zip(each, asked, strict=True)
        ]

    def at_once(self, prompts: Sequence[Laid], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, L]: the encoder runs once for all prompts, and nothing is kept."""
        keys = self.keys(prompts, list(dict.fromkeys(texts)))
        mask = padded([key.ids for key in keys], self.model.device)[1]
        read = self._repeated(texts, self._states.encode(keys), mask)
        return torch.stack([self._decode(prompt, *read) for prompt in prompts])

    def plain(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]: encoder and decoder."""
        return self._decode(prompt, *self._encoded(prompt, texts))

    def _encoded(self, prompt: Laid, texts: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
        """The encoder's output beside a prompt, [B, T, H], and which of it is real [B, T]."""
        model, once = self.model, list(dict.fromkeys(texts))
        tail, last = model.embed(self.question.tail_ids), model.embed(self.question.end_ids)
        front, back, end = (part.to(tail) for part in prompt[:3])
        behind = torch.cat([back, tail, end, last])
        embeds, lengths = self.pad([torch.cat([front, model.embed(text), behind]) for text in once])
        mask = torch.arange(embeds.shape[1], device=model.device) < lengths[:, None]
        return self._repeated(texts, model.encoder_output(embeds, mask.long()), mask)

    def _repeated(
        self, texts: Sequence[TokenIds], output: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What was read of each of these texts once, for all B of them."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        if len(places) == len(texts):
            return output, mask
        rows = on_device([places[text] for text in texts], output.device)
        return output[rows], mask[rows]

    def _decode(self, prompt: Laid, output: Tensor, mask: Tensor) -> Tensor:
        """[B, L] from the encoder's output [B, T, H] and which of it is real [B, T].

        Where the answers have tokens read, a pass for each path of their trie: a decoder counts
        its positions itself (T5's are relative, BART's learned), so that nothing can be laid side
        by side in it.
        """
        count, device = len(output), self.model.device
        before = self._before(prompt).expand(count, -1, -1)
        parts = []
        for number, (words, new) in enumerate(self.read_by_path()):
            embeds = torch.cat([before, words.expand(count, -1, -1)], dim=1)
            read = self.ask(
                torch.arange(before.shape[1] - 1, embeds.shape[1], device=device),
                self.wanted,
                decoder_inputs_embeds=embeds,
                **self.model.over_encoder(output, mask.long(), prompt.decoder_rows.to(embeds)),
            )
            # What passes before it have read is wanted once.
            parts.append(read if number == 0 else read[:, -new:])
        return self.readout(torch.cat(parts, dim=1))

    def generations(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds]
    ) -> Iterator[Generation]:
        """Answers being written, prompt by prompt."""
        for prompt in prompts:
            if self.reuses([prompt], texts):
                kept = self.fill([prompt], texts)
                output, mask = kept.states, kept.mask
            else:
                output, mask = self._encoded(prompt, texts)
            before = self._before(prompt)
            yield Decoded(self.model, output, mask, before, prompt.decoder_rows.to(before))

    def _before(self, prompt: Laid) -> Tensor:
        """[1, Q, H], what the decoder reads before it answers."""
        start = self.model.embed(self._start)
        return torch.cat([start, prompt.decoder.to(start)])[None]
