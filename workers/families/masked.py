"""Masked models: `[CLS][front][text][back][tail][end][SEP]` with a mask in the template, which is
answered (cloze templates of PET, Schick and Schütze 2021, and LM-BFF, Gao et al. 2021).

Every token is read in the light of every other, so nothing of a text can be reused.
"""

from collections.abc import Iterator, Sequence
from typing import NoReturn, Self

import torch
from torch import Tensor

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.continuations import Continuations
from autoprompt.workers.families.family import Behind, Family, real
from autoprompt.workers.families.generation import Generation
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_states import TokenIds


class MaskedFamily(Family):
    """Masked models, a whole pass for every prompt and text."""

    def asking(self, readout: Behind) -> Self:
        """Raises ModelError of what follows a text, as a mask is one token."""
        if isinstance(readout, Continuations):
            self._refuse()
        return super().asking(readout)

    def generations(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds]
    ) -> Iterator[Generation]:
        """Raises ModelError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        config = self.model.model.config
        raise ModelError(
            f"model {config.name_or_path or config.model_type}: a masked model fills a mask with "
            "one token and writes no text; choose a causal or a sequence-to-sequence model for "
            "answers of several tokens"
        )

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
