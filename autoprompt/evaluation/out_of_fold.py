"""What finalists say of every labelled text, each time by a prompt that did not learn it.

Their plans were carried out once a fold. For each text the prompts that left it out are asked, one
of every division into folds; where there are several, their probabilities are averaged.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load

from autoprompt.evaluation.candidates import best_first, judged
from autoprompt.store import Candidate, FoldRecord, PromptRecord, Store
from autoprompt.workers.answers import Answers
from autoprompt.workers.metrics import Metric
from autoprompt.workers.vote import Floats, pooled


def out_of_fold(
    store: Store, search_id: int, labels: Sequence[int], answers: Answers, metric: Metric
) -> list[PromptRecord]:
    """The finalists by their out-of-fold predictions, best first: scores, losses and
    log-probabilities [B, L] are of all labelled texts. One of which a fold failed is left out.

    Args:
        labels: [B], of the train texts and then the validation texts.
    """
    by_plan: dict[int, list[FoldRecord]] = defaultdict(list)
    for record in store.fold_prompts(search_id):
        if record.fold:
            by_plan[record.number].append(record)
    found = []
    for prompt in store.prompts(search_id, sorted(by_plan)):
        said = _joined(by_plan[prompt.number], len(labels), answers)
        if said is not None:
            found.append(judged(prompt, said, labels, answers, metric))
    return best_first(sorted(found, key=lambda prompt: prompt.number))


def deployed(
    store: Store, search_id: int, voters: Sequence[Candidate], refit: bool
) -> list[Candidate]:
    """What labels texts for voters, in their order: for plans the prompts of their folds, for
    baselines the ones that learnt all labelled texts.

    Args:
        refit: those that learnt all labelled texts instead, where they did not fail.
    """
    by_plan: dict[int, list[FoldRecord]] = defaultdict(list)
    numbers = [voter.number for voter in voters if voter.number is not None]
    for record in store.fold_prompts(search_id, numbers):
        if record.content is not None:
            by_plan[record.number].append(record)
    found: list[Candidate] = []
    for voter in voters:
        if voter.number is None:
            found.append(voter)
            continue
        folds = [record for record in by_plan[voter.number] if record.fold]
        whole = [record for record in by_plan[voter.number] if not record.fold]
        chosen = whole if refit and whole else folds
        found += [record.as_prompt(voter.score, voter.loss) for record in chosen]
    return found


def _joined(folds: Sequence[FoldRecord], texts: int, answers: Answers) -> Floats | None:
    """[B, L]; None where not every text was left out by a prompt of each division."""
    divisions: dict[int, Floats] = {}
    for record in folds:
        if record.log_probs is None:
            return None
        said = answers.unpacked(record.log_probs)
        blank = np.full((texts, said.shape[-1]), np.nan)
        division = divisions.setdefault(record.repeat, blank)
        division[load(record.left_out)["places"]] = said
    rows = np.stack([divisions[repeat] for repeat in sorted(divisions)])
    if np.isnan(rows).any():
        return None
    return pooled(rows)
