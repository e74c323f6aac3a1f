"""KV prompts of several templates that begin alike: each text is read once for all of them, and
behind it each template once for all of its prompts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.prompt_batches import packs_of, shapes_of
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import Passage, TokenIds

#: What a scorer is asked: prompts, and texts from its `tokenize`.
Asked = tuple[Sequence[Prompt], Sequence[TokenIds]]


@torch.no_grad()
def read_once(asked: Mapping[Scorer, Asked]) -> dict[Scorer, Tensor]:
    """`log_probs` of the scorers that may share what is read of their texts, [N, B, L] of each:
    those that are asked of the same tokens for KV prompts at the end of their templates. Of the
    others nothing."""
    alike: dict[tuple[TokenIds, ...], list[Scorer]] = defaultdict(list)
    for scorer, (prompts, texts) in asked.items():
        if _may_share(scorer, prompts, texts):
            alike[tuple(texts)].append(scorer)
    found: dict[Scorer, Tensor] = {}
    for same, scorers in alike.items():
        if len(scorers) > 1:
            found |= _behind({scorer: asked[scorer][0] for scorer in scorers}, same)
    return found


def _may_share(scorer: Scorer, prompts: Sequence[Prompt], texts: Sequence[TokenIds]) -> bool:
    at_end = all(prompt.kind == "kv" and prompt.position == "end" for prompt in prompts)
    if scorer.rereads or not (prompts and at_end and all(texts) and texts):
        return False
    if not isinstance(scorer.family, CausalFamily) or not scorer.task.question.tail_ids:
        return False
    packs = list(packs_of(scorer.family, shapes_of(prompts), texts))
    return len(packs) == 1 and packs[0][1]


def _behind(
    prompts: Mapping[Scorer, Sequence[Prompt]], texts: Sequence[TokenIds]
) -> dict[Scorer, Tensor]:
    """[N, B, L] of each scorer's prompts, in batches of texts of like length."""
    first = next(iter(prompts))
    states = first.cache.states
    laid = {
        scorer: [prompt.embedded(scorer.model) for prompt in own] for scorer, own in prompts.items()
    }
    found = {
        scorer: torch.empty(len(own), len(texts), scorer.task.readout.size)
        for scorer, own in prompts.items()
    }
    behind = sum(len(scorer.task.question.tail_ids) + len(own) for scorer, own in prompts.items())
    costs = [len(text) + behind for text in texts]

    def score(batch: list[int]) -> None:
        own = [texts[index] for index in batch]
        block = states.encode([Passage(text) for text in own])
        rows = [row[: len(text)] for row, text in zip(block, own, strict=True)]
        for scorer, lying in laid.items():
            assert isinstance(scorer.family, CausalFamily)
            logits = scorer.family.behind_read(lying, own, rows)
            priors = scorer.priors(prompts[scorer])
            found[scorer][:, batch] = scorer.task.readout.log_probs(logits.cpu(), priors)

    for _ in first.budget.run(costs, costs, score):
        pass
    return found
