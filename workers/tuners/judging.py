"""What prompts are worth at a rung: their scores on the validation texts that judge it."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.calibration import calibrated
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.progress import AtRung, Progress, TrialDivergedError


def judged(
    plans: Sequence[AnyPlan], rungs: Sequence[AtRung], scorer: Scorer, examples: Examples
) -> list[Progress | TrialDivergedError]:
    """Calibrate the prompts of N plans, and score them on their rungs' blocks of the validation
    texts: side by side, those that the same block judges."""
    prompts = [
        _worded(calibrated(at.prompt, plan.calibration, scorer, examples), plan, scorer)
        for plan, at in zip(plans, rungs, strict=True)
    ]
    same: dict[int | None, list[int]] = defaultdict(list)
    for place, at in enumerate(rungs):
        same[examples.blocks.at(at.rung)].append(place)
    outcomes: dict[int, Progress | TrialDivergedError] = {}
    for count, places in same.items():
        log_probs = _scored(
            [prompts[place] for place in places], examples.judges(count), scorer, examples
        )
        for place, scores in zip(places, log_probs, strict=True):
            outcomes[place] = _progress(
                rungs[place], prompts[place], scores, count, scorer, examples
            )
    return [outcomes[place] for place in range(len(rungs))]


def _worded(prompt: Prompt, plan: AnyPlan, scorer: Scorer) -> Prompt:
    """The prompt with the question it was made for; words in one of the plan's own are told with
    all of it."""
    prompt = replace(prompt, wording=scorer.wording, reworded=plan.rewords)
    question = prompt.question(scorer.model.tokenizer) if plan.rewords else None
    return prompt if question is None else replace(prompt, text=question)


def judged_by_more(
    rungs: Sequence[Progress], count: int | None, scorer: Scorer, examples: Examples
) -> list[Progress | TrialDivergedError]:
    """N prompts that were judged by the same block, judged by a larger one too: what is added is
    scored, side by side.

    Args:
        count: the larger block's texts; None for all.
    """
    [fewer] = {progress.judged for progress in rungs}
    order = examples.blocks.order[:count]
    log_probs = _scored([progress.prompt for progress in rungs], order[fewer:], scorer, examples)
    outcomes: list[Progress | TrialDivergedError] = []
    for progress, added in zip(rungs, log_probs, strict=True):
        scores = torch.cat([progress.log_probs, added])
        if count is None:
            scores = torch.empty_like(scores).index_copy_(0, torch.tensor(order), scores)
        outcomes.append(_rejudged(progress, scores, count, scorer, examples))
    return outcomes


def judged_by_fewer(
    progress: Progress, count: int | None, scorer: Scorer, examples: Examples
) -> Progress | TrialDivergedError:
    """The same prompt as a smaller block judges it.

    Args:
        count: the smaller block's texts; None, or as many as there are, changes nothing.
    """
    if count is None or count == progress.judged:
        return progress
    places = examples.judges(count) if progress.judged is None else range(count)
    return _rejudged(progress, progress.log_probs[list(places)], count, scorer, examples)


def _scored(
    prompts: Sequence[Prompt], places: Sequence[int], scorer: Scorer, examples: Examples
) -> Tensor:
    """[N, B, L] of the validation texts at B places."""
    texts = [examples.validation[place] for place in places]
    log_probs = scorer.log_probs(prompts, texts)
    if bool(log_probs.isfinite().all()):
        return log_probs
    # One that is no number spoils those beside it.
    return torch.cat([scorer.log_probs([prompt], texts) for prompt in prompts])


def _progress(
    at: AtRung,
    prompt: Prompt,
    log_probs: Tensor,
    count: int | None,
    scorer: Scorer,
    examples: Examples,
) -> Progress | TrialDivergedError:
    """A prompt at its rung, with log-probabilities [B, L] of the texts that judge it."""
    blank = Progress(
        rung=at.rung,
        step=at.step,
        score=math.nan,
        loss=math.nan,
        train_loss=sum(at.losses) / max(len(at.losses), 1),
        prompt=prompt,
        log_probs=log_probs,
    )
    return _rejudged(blank, log_probs, count, scorer, examples)


def _rejudged(
    progress: Progress, log_probs: Tensor, count: int | None, scorer: Scorer, examples: Examples
) -> Progress | TrialDivergedError:
    """The same with the score and the loss of log-probabilities [B, L]."""
    task, metric = scorer.task, METRICS[examples.metric]
    places = examples.judges(count)
    loss = task.readout.loss(log_probs, examples.validation_labels[list(places)])
    if not math.isfinite(loss):
        return TrialDivergedError(f"the validation loss became {loss} at step {progress.step}")
    predicted = metric.predictions(log_probs.numpy(), task.answers.decided)
    score = metric.score(examples.expected(places), predicted)
    if not math.isfinite(score):
        return TrialDivergedError(
            f"the metric {metric.name} became {score} at step {progress.step}"
        )
    return replace(
        progress,
        score=metric.direction.oriented(score),
        loss=loss,
        log_probs=log_probs,
        judged=count,
    )
