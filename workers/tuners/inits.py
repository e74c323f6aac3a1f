"""Where a soft prompt starts from (Lester et al. 2021, section 3.2)."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from autoprompt.search_spaces import TrainedPlan
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.task import Task
from autoprompt.workers.tuners.vocabulary import readable_tokens

#: Vocabularies list tokens by frequency, behind what is no text.
_FREQUENT_TOKENS = 5000

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
        spread = 3**0.5 * float(model.embeddings.float().std())
        bound = spread if plan.init == "random" else _UNIFORM_BOUND
        drawn = torch.rand(plan.length, model.hidden_size, generator=generator)
        return ((2 * drawn - 1) * bound).to(model.device)
    if plan.init == "vocabulary":
        known = readable_tokens(model).nonzero()[:_FREQUENT_TOKENS, 0]
        drawn = torch.randint(len(known), (plan.length,), generator=generator)
        tokens = known[drawn].tolist()
    elif plan.init == "labels":
        words = task.label_token_ids
        tokens = [words[index % len(words)] for index in range(plan.length)]
    else:
        tokens = phrase_tokens(f" {plan.init_text}", plan.length, model)
    return model.embed(tokens).float()
