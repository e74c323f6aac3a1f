"""How a prompt's gradients turn into steps."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR

from autoprompt.search_spaces import TrainedPlan


def build_optimizer(
    plan: TrainedPlan, trained: torch.nn.Parameter
) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """The plan's optimizer and schedule over one prompt [P, ...].

    Adafactor is set as Lester et al. 2021 (appendix A) did, who ran it at a constant 0.3: no
    scaling by the parameter's size, and the learning rate as given.
    """
    optimizer: torch.optim.Optimizer
    if plan.optimizer == "adafactor":
        # Imported here: it brings along PEFT and its kin wherever they are installed.
        from transformers.optimization import Adafactor

        optimizer = Adafactor(
            [trained],
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            scale_parameter=False,
            relative_step=False,
        )
    else:
        optimizer = torch.optim.AdamW(
            [trained], lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
    return optimizer, LambdaLR(optimizer, lambda step: _factor(plan, step))


def _factor(plan: TrainedPlan, step: int) -> float:
    """The part of the learning rate at a step counted from 0; no step is made at a rate of 0."""
    warmup = max(1, round(plan.warmup * plan.steps))
    rise = min(1.0, (step + 1) / warmup)
    done = step / plan.steps
    if plan.schedule == "linear":
        return rise * (1 - done)
    if plan.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * done))
    return rise
