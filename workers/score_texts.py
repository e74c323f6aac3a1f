"""Many texts beside some prompts, on a model that is loaded for it."""

from collections.abc import Sequence

from torch import Tensor

from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import load_scorer


def score_texts(job: Job, prompts: Sequence[bytes], texts: Sequence[Text]) -> Tensor:
    """The labels' log-probabilities for every prompt beside every text, [N, B, L].

    Args:
        prompts: as safetensors.
    """
    scorer = load_scorer(job.model, job.task, job.longest_prompt)
    return scorer.score_texts([Prompt.from_bytes(content) for content in prompts], texts)
