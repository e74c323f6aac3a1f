"""Many texts beside prompts, each asked in its own wording."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoprompt.search_spaces.registry import look_in
from autoprompt.workers.baselines.fitting import Answering
from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt, by_wording
from autoprompt.workers.rows import Text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer


def score_texts(
    job: Job,
    prompts: Sequence[bytes],
    texts: Sequence[Text],
    baselines: Sequence[tuple[str, bytes]] = (),
) -> Tensor:
    """The answers' log-probabilities for every prompt beside every text, and those of baselines,
    [N + M, B, A], on a model that is loaded for it.

    Args:
        prompts: N, as safetensors.
        baselines: M names, and what was learnt; they read the same texts in the cache.
    """
    scorer = load_scorer(job.model, job.task, job.longest_prompt)
    asked = [Prompt.from_bytes(content) for content in prompts]
    if baselines:
        for folder in job.modules:
            look_in(folder)
        # So that what one of them reads of a text is what the others read.
        scorer.family.expect(job.positions, job.kv)
    return score_beside(scorer, asked, baselines, texts)


def score_beside(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    baselines: Sequence[tuple[str, bytes]],
    texts: Sequence[Text],
    advance: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The same on a model that is loaded; no numbers of a baseline that failed.

    Args:
        scorer, advance: as `score_worded` takes them.
        prompts: where there are baselines, one of the scorer's own wording among them.
    """
    if not baselines:
        return score_worded(scorer, prompts, texts, advance)
    answering = Answering(scorer, baselines)
    said = torch.empty(len(baselines), len(texts), scorer.task.readout.size)

    def hear(places: list[int]) -> None:
        said[:, places] = torch.from_numpy(answering.log_probs([texts[place] for place in places]))

    return torch.cat([score_worded(scorer, prompts, texts, advance, hear), said])


def score_worded(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    texts: Sequence[Text],
    advance: Callable[[int], None] = lambda done: None,
    beside: Callable[[list[int]], None] | None = None,
) -> Tensor:
    """The log-probabilities of prompts alone, on a model that is loaded.

    Args:
        scorer: of the search's own wording, in which prompts are asked that brought none along; it
            counts the texts that were cut in any.
        advance: called with the number of texts done in the first wording since the last call.
        beside: as `Scorer.score_texts` takes it, of the first wording that is the search's own.
    """
    log_probs = torch.empty(len(prompts), len(texts), scorer.task.readout.size)
    for wording, places in by_wording(prompts, scorer.wording):
        own = scorer if wording == scorer.wording else scorer.reworded(wording)
        heard = beside if own is scorer else None
        asked = [prompts[place] for place in places]
        log_probs[places] = own.score_texts(asked, texts, advance, heard)
        scorer.truncated = max(scorer.truncated, own.truncated)
        advance = _ignored
    return log_probs


def _ignored(done: int) -> None:
    """Texts are counted once."""
