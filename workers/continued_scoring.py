"""Answers that differ from text to text, scored and written: what a `ContinuedReadout` asks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoprompt.workers.answers.continued_readout import ContinuedReadout, TextReadout
from autoprompt.workers.answers.free_text import coded
from autoprompt.workers.asked_text import answers_of_text
from autoprompt.workers.decoding import decoded, text_of
from autoprompt.workers.prompt import Laid, Prompt
from autoprompt.workers.prompt_batches import in_batches
from autoprompt.workers.scoring import Asked, Scorer
from autoprompt.workers.text_states import TokenIds


def continued(scorer: Scorer, readout: ContinuedReadout, asked: Sequence[Asked]) -> list[Tensor]:
    """[N, B, K] of each: scores of what may stand behind its texts; gradients flow to the prompts.
    In one pass, where all of them may go over cached texts."""
    sums = [_summed(scorer, own) for own in asked]
    parts = scorer.logits_of([repeated for repeated, _ in sums])
    blank: list[Sequence[Tensor] | None] = [None] * len(asked)
    if readout.unconditional:
        nothing = scorer.task.question.read([scorer.task.question.everywhere("")])[0]
        alone = [repeated._replace(texts=[nothing] * len(repeated.texts)) for repeated, _ in sums]
        blank = [
            found.sum(-1).split(counts, dim=1)
            for found, (_, counts) in zip(scorer.logits_of(alone), sums, strict=True)
        ]
    return [
        readout.scored(own.texts, found.sum(-1).split(counts, dim=1), none)
        for own, found, (_, counts), none in zip(asked, parts, sums, blank, strict=True)
    ]


def _summed(scorer: Scorer, asked: Asked) -> tuple[Asked, list[int]]:
    """The texts, each as often as it has answers, with these behind them; and how many each has."""
    answers = [answers_of_text(text) for text in asked.texts]
    texts = [text for text, own in zip(asked.texts, answers, strict=True) for _ in own]
    return asked._replace(texts=texts, continuations=[ids for own in answers for ids in own]), [
        len(own) for own in answers
    ]


def behind(texts: Sequence[TokenIds]) -> list[int]:
    """[B], the tokens that are read behind each text beside its question and a prompt."""
    return [sum(map(len, answers_of_text(text))) for text in texts]


@torch.no_grad()
def scores(scorer: Scorer, prompts: Sequence[Prompt], texts: Sequence[TokenIds]) -> Tensor:
    """[N, B, K] on the CPU, as `continued`, in batches of texts of like length."""
    parts: list[tuple[list[int], list[int], Tensor]] = []

    def score(pack: list[int], laid: list[Laid], once: bool, batch: list[int]) -> Tensor:
        return scorer.label_logits(laid, [texts[at] for at in batch]).cpu()

    parts += in_batches(scorer.family, scorer.budget, prompts, texts, score, behind=behind(texts))
    width = parts[0][2].shape[-1] if parts else 0
    result = torch.empty(len(prompts), len(texts), width)
    for pack, batch, own in parts:
        result[torch.tensor(pack)[:, None], torch.tensor(batch)] = own
    return result


def said(
    scorer: Scorer, readout: ContinuedReadout, prompts: Sequence[Prompt], texts: Sequence[TokenIds]
) -> Tensor:
    """[N, B, A] on the CPU, what predictions are made of."""
    if isinstance(readout, TextReadout):
        return written(scorer, readout, prompts, texts)
    return readout.log_probs(scores(scorer, prompts, texts), torch.zeros(readout.size))


@torch.no_grad()
def written(
    scorer: Scorer, readout: TextReadout, prompts: Sequence[Prompt], texts: Sequence[TokenIds]
) -> Tensor:
    """[N, B, A] on the CPU: the loss of each right answer, no number where that is not known,
    and what is written as code points."""
    said = torch.full((len(prompts), len(texts), readout.size), 0.0)
    known = bool(len(texts)) and all(map(answers_of_text, texts))
    said[..., 0] = -scores(scorer, prompts, texts)[..., 0] if known else torch.nan
    answers = decoded(scorer, prompts, texts, readout.stop, readout.room)
    tokenizer = scorer.model.tokenizer
    for own, row in zip(said, answers, strict=True):
        for place, ids in enumerate(row):
            text = text_of(ids, readout.stop, tokenizer).strip()
            own[place, 1:] = torch.tensor(coded(text, readout.size - 1), dtype=torch.float32)
    return said
