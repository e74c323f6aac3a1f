"""Answers that differ from text to text, scored and written: what a `ContinuedReadout` asks."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoprompt.workers.answers import Right
from autoprompt.workers.answers.continued_readout import ContinuedReadout, TextReadout
from autoprompt.workers.answers.free_text import coded
from autoprompt.workers.asked_text import answers_of_text
from autoprompt.workers.decoding import decoded, text_of
from autoprompt.workers.prompt import Laid, Prompt
from autoprompt.workers.prompt_batches import in_batches
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Asked, Scorer
from autoprompt.workers.text_states import TokenIds


class ContinuedScorer(Scorer):
    """A scorer of answers that stand behind each text by themselves: K of them, a row's options or
    its right answer alone."""

    rereads: ClassVar[bool] = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        assert isinstance(self.task.readout, ContinuedReadout)
        self._readout = self.task.readout

    def tokenize(
        self, texts: Sequence[Text], rights: Sequence[Right] | None = None
    ) -> list[TokenIds]:
        """Each text with what may be answered to it, where that is known."""
        return self._readout.asked(super().tokenize(texts), texts, rights)

    def logits_of(self, asked: Sequence[Asked]) -> list[Tensor]:
        """[N, B, K] of each, scores of what may stand behind its texts; where continuations are
        given, these as `Scorer` has them."""
        if any(own.continuations is not None for own in asked):
            return super().logits_of(asked)
        repeated = [_repeated(own) for own in asked]
        parts = super().logits_of([own for own, _ in repeated])
        alone: list[Sequence[Tensor] | None] = [None] * len(asked)
        if self._readout.unconditional:
            nothing = self.task.question.read([self.task.question.everywhere("")])[0]
            blank = [own._replace(texts=[nothing] * len(own.texts)) for own, _ in repeated]
            alone = [
                found.sum(-1).split(counts, dim=1)
                for found, (_, counts) in zip(super().logits_of(blank), repeated, strict=True)
            ]
        return [
            self._readout.scored(own.texts, found.sum(-1).split(counts, dim=1), none)
            for own, found, (_, counts), none in zip(asked, parts, repeated, alone, strict=True)
        ]

    def label_logits(
        self, prompts: Sequence[Laid], texts: Sequence[TokenIds], *, once: bool = False
    ) -> Tensor:
        """[N, B, K]; texts are kept at any rate, as each of their answers reads them."""
        return self.logits_of([Asked(prompts, texts)])[0]

    def queries(self, prompt: Laid, texts: Sequence[TokenIds]) -> int:
        answers = [len(ids) for text in texts for ids in answers_of_text(text)]
        return self.family.queries(prompt, texts) * len(answers) + sum(answers)

    @torch.no_grad()
    def log_probs(
        self, prompts: Sequence[Prompt], texts: Sequence[TokenIds], *, once: bool = False
    ) -> Tensor:
        """[N, B, A]: of options their log-probabilities; of free text the right answer's loss, no
        number where that is not known, and what is written as code points."""
        readout = self._readout
        if not isinstance(readout, TextReadout):
            return readout.log_probs(self._scores(prompts, texts), torch.zeros(readout.size))
        said = torch.zeros(len(prompts), len(texts), readout.size)
        known = bool(len(texts)) and all(map(answers_of_text, texts))
        said[..., 0] = -self._scores(prompts, texts)[..., 0] if known else torch.nan
        tokenizer, room = self.model.tokenizer, readout.size - 1
        answers = decoded(self, prompts, texts, readout.stop, readout.room)
        for own, row in zip(said, answers, strict=True):
            for place, ids in enumerate(row):
                text = text_of(ids, readout.stop, tokenizer).strip()
                own[place, 1:] = torch.tensor(coded(text, room), dtype=torch.float32)
        return said

    @torch.no_grad()
    def losses(
        self, prompts: Sequence[Prompt], texts: Sequence[TokenIds], expected: Tensor
    ) -> Tensor:
        """[N, B]; nothing is written for it."""
        return self._readout.losses(self._scores(prompts, texts), expected)

    def _scores(self, prompts: Sequence[Prompt], texts: Sequence[TokenIds]) -> Tensor:
        """[N, B, K] on the CPU, in batches of texts of like length."""

        def score(pack: list[int], laid: list[Laid], once: bool, batch: list[int]) -> Tensor:
            return self.label_logits(laid, [texts[at] for at in batch]).cpu()

        behind = [sum(map(len, answers_of_text(text))) for text in texts]
        parts = list(in_batches(self.family, self.budget, prompts, texts, score, behind=behind))
        width = parts[0][2].shape[-1] if parts else 0
        result = torch.empty(len(prompts), len(texts), width)
        for pack, batch, own in parts:
            result[torch.tensor(pack)[:, None], torch.tensor(batch)] = own
        return result


def _repeated(asked: Asked) -> tuple[Asked, list[int]]:
    """The texts, each as often as it has answers, with these behind them; and how many each has."""
    answers = [answers_of_text(text) for text in asked.texts]
    texts = [text for text, own in zip(asked.texts, answers, strict=True) for _ in own]
    behind = [ids for own in answers for ids in own]
    return asked._replace(texts=texts, continuations=behind), [len(own) for own in answers]
