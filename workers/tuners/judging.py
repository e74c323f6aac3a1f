"""What prompts are worth at a rung: their scores on the validation texts."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task
from autoprompt.workers.tuners.calibration import calibrated
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.progress import AtRung, Progress, TrialDivergedError


def judged(
    plans: Sequence[AnyPlan], rungs: Sequence[AtRung], scorer: Scorer, examples: Examples
) -> list[Progress | TrialDivergedError]:
    """Calibrate the prompts of N plans, and score them on the validation texts side by side."""
    prompts = [
        replace(
            calibrated(at.prompt, plan.calibration, scorer, examples),
            wording=scorer.wording,
            reworded=plan.rewords,
        )
        for plan, at in zip(plans, rungs, strict=True)
    ]
    log_probs = scorer.log_probs(prompts, examples.validation)
    if not bool(log_probs.isfinite().all()):
        # One that is no number spoils those beside it.
        alone = [scorer.log_probs([prompt], examples.validation) for prompt in prompts]
        log_probs = torch.cat(alone)
    metric = METRICS[examples.metric]
    return [
        _progress(at, prompt, scores, scorer.task, metric, examples.validation_labels)
        for at, prompt, scores in zip(rungs, prompts, log_probs, strict=True)
    ]


def _progress(
    at: AtRung,
    prompt: Prompt,
    log_probs: Tensor,
    task: Task,
    metric: Metric,
    labels: Tensor,
) -> Progress | TrialDivergedError:
    """A prompt with log-probabilities [B, L] of texts whose labels are [B]."""
    loss = task.readout.loss(log_probs, labels)
    if not math.isfinite(loss):
        return TrialDivergedError(f"the validation loss became {loss} at step {at.step}")
    score = metric.score(
        labels.numpy(), metric.predictions(log_probs.numpy(), task.answers.decided)
    )
    if not math.isfinite(score):
        return TrialDivergedError(f"the metric {metric.name} became {score} at step {at.step}")
    return Progress(
        rung=at.rung,
        step=at.step,
        score=metric.direction.oriented(score),
        loss=loss,
        train_loss=sum(at.losses) / max(len(at.losses), 1),
        prompt=prompt,
        log_probs=log_probs,
    )
