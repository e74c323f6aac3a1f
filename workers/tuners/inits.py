"""Where a soft prompt starts from (Lester et al. 2021, section 3.2)."""

import torch
from torch import Tensor

from search_spaces import SoftPlan
from search_spaces.errors import AutopromptError
from workers.frozen_model import FrozenModel
from workers.task import Task

#: Byte-pair vocabularies list tokens in the order they were merged, frequent ones first.
_FREQUENT_TOKENS = 5000


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
    plan: SoftPlan, model: FrozenModel, task: Task, generator: torch.Generator
) -> Tensor:
    """The vectors a soft trial starts from: [P, H] float32 on the model's device."""
    if plan.init == "random":
        # Uniform with the spread of the model's own embeddings, whatever their scale.
        bound = 3**0.5 * float(model.embeddings.float().std())
        drawn = torch.rand(plan.length, model.hidden_size, generator=generator)
        return ((2 * drawn - 1) * bound).to(model.device)
    if plan.init == "vocabulary":
        known = min(_FREQUENT_TOKENS, len(model.embeddings))
        tokens = torch.randint(known, (plan.length,), generator=generator).tolist()
    elif plan.init == "labels":
        words = task.label_token_ids
        tokens = [words[index % len(words)] for index in range(plan.length)]
    else:
        tokens = phrase_tokens(f" {plan.init_text}", plan.length, model)
    return model.embed(tokens).float()
