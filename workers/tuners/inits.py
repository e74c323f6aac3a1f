"""Where a prompt starts from: vectors (Lester et al. 2021, section 3.2), or a phrase's tokens."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from autoprompt.search_spaces import TrainedPlan
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.embedding_table import spread
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.question import Question
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.vocabulary import readable_tokens

#: Vocabularies list tokens by frequency, behind what is no text.
_FREQUENT_TOKENS = 5000

#: Tokens that may take the place of one that does not read back.
_REPLACEMENTS = 64

#: Lester et al. draw random vectors from [-0.5, 0.5].
_UNIFORM_BOUND = 0.5


def phrase_tokens(phrase: str, length: int, model: FrozenModel) -> list[int]:
    """The phrase's tokens, repeated or cut to `length`.

    Raises:
        AutopromptError: the phrase has no tokens.
    """
    ids: list[int] = model.tokenizer(phrase, add_special_tokens=False).input_ids
    if not ids:
        raise AutopromptError(f"the phrase {phrase!r} has no tokens to start from")
    return [ids[index % len(ids)] for index in range(length)]


def asking_words(question: Question) -> str:
    """What a template asks with: its words behind the last column; where it has none there, those
    before the columns; and where it has none at all, words that fit any question."""
    template = question.template
    before = " ".join(words.strip() for words, _ in template.parts)
    for words in (template.tail, before):
        words = words.replace(question.token, " ") if question.token else words
        if any(letter.isalnum() for letter in words):
            return " ".join(words.split())
    return "The answer is"


def start_tokens(
    phrase: str, length: int, arranged: Arrangement, scorer: Scorer, generator: torch.Generator
) -> TokenIds:
    """The tokens that a hard prompt starts from: a phrase, repeated or cut, which reads back where
    it will stand.

    A seam or a cut may not: " in short" and "in" again are read as other tokens. Then the phrase is
    repeated as text, and what still does not read back gives way to tokens that do.

    Raises:
        AutopromptError: the phrase has no tokens, or nothing reads back in their place.
    """
    starts = [
        tuple(phrase_tokens(arranged.joint + written, length, scorer.model))
        for written in (phrase, " ".join([phrase] * length))
    ]
    kept = arranged.reads_back(starts)
    if any(kept):
        return starts[kept.index(True)]
    return _repaired(starts[-1], arranged, scorer, generator)


def _repaired(
    tokens: TokenIds, arranged: Arrangement, scorer: Scorer, generator: torch.Generator
) -> TokenIds:
    """The tokens from the left on, each as it is or else another that reads back behind those that
    were kept.

    Raises:
        AutopromptError: none does.
    """
    known = readable_tokens(scorer.model).nonzero()[:, 0]
    kept: TokenIds = ()
    for token in tokens:
        drawn = known[torch.randperm(len(known), generator=generator)[:_REPLACEMENTS]].tolist()
        longer = [(*kept, choice) for choice in (token, *drawn)]
        same = arranged.reads_back(longer)
        if not any(same):
            raise AutopromptError(
                f"no token after {scorer.model.tokenizer.decode(kept)!r} reads back at "
                f"{arranged.position}; "
                "give the hard prompt another start or position"
            )
        kept = longer[same.index(True)]
    return kept


def initial_vectors(
    plan: TrainedPlan,
    model: FrozenModel,
    task: Task,
    generator: torch.Generator,
    earlier: Mapping[str, Prompt] = MappingProxyType({}),
) -> Tensor:
    """The vectors a soft trial starts from: [P, H] float32 on the model's device.

    Args:
        earlier: the prompts that the plan may start from, by the names it knows them by.
    """
    if plan.init == "prompt":
        vectors = torch.cat(earlier[str(plan.init_prompt)].embedded(model)).float()
        return vectors[torch.arange(plan.length) % len(vectors)]
    if plan.init in ("random", "uniform"):
        # Both are uniform: with the spread of the model's own embeddings, whatever their scale,
        # or over the interval of the paper.
        bound = _UNIFORM_BOUND
        if plan.init == "random":
            bound = 3**0.5 * spread(model.embeddings)
        drawn = torch.rand(plan.length, model.hidden_size, generator=generator)
        return ((2 * drawn - 1) * bound).to(model.device)
    return model.embed(initial_tokens(plan, model, task, generator)).float()


def initial_tokens(
    plan: TrainedPlan, model: FrozenModel, task: Task, generator: torch.Generator
) -> list[int]:
    """The tokens that a plan's numbers start from, `plan.length` of them: frequent ones where it
    names no others."""
    if plan.init == "labels":
        words = task.readout.starts
        return [words[index % len(words)] for index in range(plan.length)]
    if plan.init == "template":
        return phrase_tokens(f" {asking_words(task.question)}", plan.length, model)
    if plan.init == "text":
        return phrase_tokens(f" {plan.init_text}", plan.length, model)
    known = readable_tokens(model).nonzero()[:_FREQUENT_TOKENS, 0]
    drawn = torch.randint(len(known), (plan.length,), generator=generator)
    tokens: list[int] = known[drawn].tolist()
    return tokens
