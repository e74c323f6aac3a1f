"""Masked models: `[CLS][front][text][back][tail][end][SEP]` with a mask in the template, which is
answered (cloze templates of PET, Schick and Schütze 2021, and LM-BFF, Gao et al. 2021).

Every token is read in the light of every other, so nothing of a text can be reused.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoprompt.workers.families.family import Family, real
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_states import TokenIds


class MaskedFamily(Family):
    """Masked models, a whole pass for every prompt and text."""

    def _leaves_texts(self, prompt: Laid) -> bool:
        return False

    def plain(self, prompt: Laid, texts: Sequence[TokenIds]) -> Tensor:
        """[B, L]."""
        question, model = self.question, self.model
        assert question.mask is not None
        tail, last = model.embed(question.tail_ids), model.embed(question.end_ids)
        front, back, end = (part.to(tail) for part in prompt[:3])
        begin = len(question.begin_ids)
        rows = []
        for text in texts:
            body = model.embed(text)
            start, rest = body[:begin], body[begin:]
            rows.append(torch.cat([start, front, rest, back, tail, end, last]))
        embeds, lengths = self.pad(rows)
        # In the template's head the mask is counted from the row's start, in its tail from the end.
        before = torch.full_like(lengths, question.mask + len(front))
        at = lengths + question.mask - len(end) if question.mask < 0 else before
        # No position ids: some models count them from another number than 0.
        logits = self.ask(
            at[:, None],
            inputs_embeds=embeds,
            attention_mask=real(lengths, embeds.shape[1]),
        )
        return self.readout(logits)
