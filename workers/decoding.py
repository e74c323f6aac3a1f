"""Answers of several tokens: how probable given ones are, and those that a model writes by itself.

Greedy decoding, as transformers' `generate` does it without sampling, behind prompts that share
passes over cached texts.
"""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.families.generation import Generation
from autoprompt.workers.model_config import end_tokens
from autoprompt.workers.prompt import Laid, Prompt
from autoprompt.workers.prompt_batches import in_batches
from autoprompt.workers.scoring import Asked, Scorer
from autoprompt.workers.text_states import TokenIds

#: A part of what an answer may take counts in a batch's cost: each pass reads one token of it, and
#: few answers take all of it.
_EXPECTED = 4


@torch.no_grad()
def continuation_log_probs(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    texts: Sequence[TokenIds],
    continuations: Sequence[TokenIds],
    *,
    once: bool = False,
) -> Tensor:
    """How probable the model finds what follows each text, as `Scorer.forced_log_probs` has it, in
    batches of texts of like length.

    Args:
        continuations: B. Options of one text are scored where it stands once for each of them.
        once: as in `Scorer.label_logits`.

    Returns:
        [N, B] float32 on the CPU, summed over a continuation's tokens.

    Raises:
        BadInputError: the model does not see a text, a prompt and one of them at once.
        ModelError: a masked model.
    """
    lengths = [len(ids) for ids in continuations]
    _refuse_longer(scorer, prompts, texts, lengths)
    result = torch.empty(len(prompts), len(texts))

    def score(pack: list[int], laid: list[Laid], once: bool, batch: list[int]) -> Tensor:
        own = Asked(laid, [texts[at] for at in batch], [continuations[at] for at in batch])
        return scorer.found(own, once=once).sum(-1).cpu()

    passes = in_batches(
        scorer.family, scorer.budget, prompts, texts, score, behind=lengths, once=once
    )
    for pack, batch, sums in passes:
        result[torch.tensor(pack)[:, None], torch.tensor(batch)] = sums
    return result


@torch.no_grad()
def decoded(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    texts: Sequence[TokenIds],
    stop: Sequence[str],
    most: int,
) -> list[list[TokenIds]]:
    """What the model writes behind each prompt and text, in batches of texts of like length.

    Args:
        stop: an answer ends where one of these has been written; see `text_of`.
        most: tokens of an answer. The scorer's texts are to leave room for them beside the longest
            prompt.

    Returns:
        [N][B], an answer's tokens, without the one that ended it; the last one may have brought a
        stop string.

    Raises:
        BadInputError: the model does not see a text, a prompt and an answer at once.
        ModelError: a masked model.
    """
    _refuse_longer(scorer, prompts, texts, [most] * len(texts))
    ends, tokenizer = end_tokens(scorer.model.model, scorer.model.tokenizer), scorer.model.tokenizer
    answers: list[list[TokenIds]] = [[()] * len(texts) for _ in prompts]

    def write(
        pack: list[int], laid: list[Laid], once: bool, batch: list[int]
    ) -> list[list[TokenIds]]:
        generations = scorer.family.generations(laid, [texts[at] for at in batch])
        return [own for one in generations for own in greedy(one, ends, stop, most, tokenizer)]

    behind = [most // _EXPECTED] * len(texts)
    passes = in_batches(scorer.family, scorer.budget, prompts, texts, write, behind=behind)
    for pack, batch, written in passes:
        for n, own in zip(pack, written, strict=True):
            for at, answer in zip(batch, own, strict=True):
                answers[n][at] = answer
    return answers


def greedy(
    generation: Generation, ends: Collection[int], stop: Sequence[str], most: int, tokenizer: Any
) -> list[list[TokenIds]]:
    """[N][B], the likeliest token after the likeliest token.

    Texts all of whose answers are written leave, by halves: to leave, the others' keys and values
    are copied once.

    Args:
        ends: tokens that end an answer.
        stop, most: as in `decoded`.
    """
    tokens = generation.first
    count, prompts = tokens.shape
    written: list[list[list[int]]] = [[[] for _ in range(count)] for _ in range(prompts)]
    there = list(range(count))
    going = {(n, text) for n in range(prompts) for text in there}
    while True:
        for text, row in zip(there, tokens.tolist(), strict=True):
            for n, token in enumerate(row):
                if (n, text) not in going:
                    continue
                own = written[n][text]
                if token not in ends:
                    own.append(token)
                if token in ends or len(own) >= most or _stops(own, stop, tokenizer):
                    going.remove((n, text))
        waiting = {text for _, text in going}
        if not waiting:
            return [[tuple(own) for own in answers] for answers in written]
        if 2 * len(waiting) <= len(there):
            places = [place for place, text in enumerate(there) if text in waiting]
            there = [there[place] for place in places]
            rows = torch.tensor(places)
            generation.only(rows)
            tokens = tokens[rows]
        tokens = generation.after(tokens)


def _stops(ids: Sequence[int], stop: Sequence[str], tokenizer: Any) -> bool:
    """Whether a stop string has been written."""
    if not stop:
        return False
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return any(string in text for string in stop)


def text_of(ids: TokenIds, stop: Sequence[str], tokenizer: Any) -> str:
    """An answer as text, up to the first stop string."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    ends = [place for place in (text.find(string) for string in stop) if place >= 0]
    return text[: min(ends, default=len(text))]


def _refuse_longer(
    scorer: Scorer, prompts: Sequence[Prompt], texts: Sequence[TokenIds], behind: Sequence[int]
) -> None:
    """Refuse what the model does not see at once.

    Args:
        behind: [B], tokens behind each text and prompt.

    Raises:
        BadInputError: there is such, or a text that is reused does not fit the model's window so.
    """
    model, question = scorer.model, scorer.task.question
    longest = max((len(prompt) for prompt in prompts), default=0)
    if model.family == "seq2seq":  # the decoder's input, which holds no text
        longest += 1 + len(question.answer_ids)
        whole = reused = list(behind)
    else:
        longest += len(question.tail_ids)
        whole = [len(text) + more for text, more in zip(texts, behind, strict=True)]
        fits = [len(text) <= scorer.family.longest_reused for text in texts]
        reused = list(itertools.compress(whole, fits))
    for bound, lengths in ((model.context_length, whole), (model.window, reused)):
        most = longest + max(lengths, default=0)
        if bound is not None and lengths and most > bound:
            raise BadInputError(
                f"a text with a prompt and an answer takes {most} tokens, and this model sees "
                f"{bound} at once; leave more room beside the texts, or ask for shorter answers"
            )
