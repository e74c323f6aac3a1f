"""Where a KV prompt starts from: the keys and values that tokens leave behind texts.

Read by itself a phrase would begin with an attention sink (Xiao et al. 2024), which nothing behind
a text is; so it is read behind a few training texts where it will stand, and averaged over them.
"""

import torch
from torch import Tensor

from autoprompt.search_spaces import KVPlan
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.question import ids_of
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import KeysAndValues, Passage
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.inits import initial_tokens

#: Training texts that an initial state is averaged over.
_TEXTS = 8

#: Frequent tokens that show how the numbers of a random row spread.
_TOKENS = 16


def initial_rows(
    plan: KVPlan, scorer: Scorer, examples: Examples, generator: torch.Generator
) -> Tensor:
    """The rows that a KV trial starts from: [P, layers, 2, groups, size] float32 on the model's
    device.

    Raises:
        ModelError: the model cannot take a KV prompt.
    """
    model, length = scorer.model, plan.length
    states = scorer.cache.states
    if isinstance(states, KeysAndValues) == (plan.position == "decoder"):
        place = "elsewhere than at decoder" if plan.position != "decoder" else "at decoder"
        raise ModelError(f"this model cannot take a KV prompt {place}")
    if plan.init == "prompt":
        earlier = examples.earlier[str(plan.init_prompt)]
        if earlier.rows is not None:
            rows = earlier.rows.to(model.device)
            return rows[torch.arange(length) % len(rows)].clone()
        embeds = torch.cat(earlier.embedded(model)[:4])
        embeds = embeds[torch.arange(length) % len(embeds)]
    elif plan.init == "examples":
        embeds = model.embed(_labelled(plan, scorer, examples, generator))
    else:
        if plan.init == "random":
            plan = plan.model_copy(update={"length": max(plan.length, _TOKENS)})
        embeds = model.embed(initial_tokens(plan, model, scorer.task, generator))
    drawn = torch.randperm(len(examples.train), generator=generator)[:_TEXTS].tolist()
    texts = [examples.train[index] for index in drawn]
    tail = scorer.task.question.tail_ids
    if plan.position == "decoder":
        passages = scorer.family.keys([], texts)
    elif plan.position == "prefix":
        passages = [Passage(())]
    elif plan.position == "end":
        passages = [Passage((*text, *tail)[:-1], len(tail) - 1) for text in texts]
    else:
        passages = [Passage(text) for text in texts]
    behind = states.behind(passages, embeds.to(model.dtype))
    if plan.init != "random":
        return behind[:, -length:].mean(0)
    # Numbers spread as those of frequent tokens are, in every layer by itself.
    noise = torch.randn(length, *behind.shape[2:], generator=generator).to(model.device)
    return behind.mean((0, 1)) + behind.std((0, 1)) * noise


def _labelled(
    plan: KVPlan, scorer: Scorer, examples: Examples, generator: torch.Generator
) -> list[int]:
    """The tokens of whole labelled examples, as many as have at least as many as the prompt has
    rows: all are read, and the last ones' states are kept (CARTRIDGE, Eyuboglu et al. 2025)."""
    question, tokenizer = scorer.task.question, scorer.model.tokenizer
    found: list[int] = []
    while len(found) < plan.length:
        drawn = int(torch.randint(len(examples.train), (1,), generator=generator))
        word = ids_of(question.joint + examples.said(drawn, scorer.task.answers), tokenizer)
        text = examples.train[drawn][len(question.begin_ids) :]
        found = [*text, *question.tail_ids, *word, *found]
    return found
