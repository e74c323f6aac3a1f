"""Many texts beside prompts, each asked in its own wording."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt, by_wording
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer, load_scorer


def score_texts(job: Job, prompts: Sequence[bytes], texts: Sequence[Text]) -> Tensor:
    """The answers' log-probabilities for every prompt beside every text, [N, B, A], on a model that
    is loaded for it.

    Args:
        prompts: as safetensors.
    """
    scorer = load_scorer(job.model, job.task, job.longest_prompt)
    return score_worded(scorer, [Prompt.from_bytes(content) for content in prompts], texts)


def score_worded(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    texts: Sequence[Text],
    advance: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The same on a model that is loaded.

    Args:
        scorer: of the search's own wording, in which prompts are asked that brought none along; it
            counts the texts that were cut in any.
        advance: called with the number of texts done in the first wording since the last call.
    """
    log_probs = torch.empty(len(prompts), len(texts), scorer.task.readout.size)
    for wording, places in by_wording(prompts, scorer.wording):
        own = scorer if wording == scorer.wording else scorer.reworded(wording)
        log_probs[places] = own.score_texts([prompts[place] for place in places], texts, advance)
        scorer.truncated = max(scorer.truncated, own.truncated)
        advance = _ignored
    return log_probs


def _ignored(done: int) -> None:
    """Texts are counted once."""
