"""Reports as a worker makes them, for tests of what becomes of them."""

from typing import Any

import torch
from safetensors.torch import save

from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Failure, Report


def report(number: int, rung: int, score: float, end: str = "", **fields: Any) -> Report:
    """A trial's report.

    Args:
        end: complete or pruned, where it is the last one.
    """
    given = {
        "step": rung,
        "loss": 0.5,
        "train_loss": 0.5,
        "gradient_norm": 1.0,
        "prompt": Prompt(f"prompt {number}", (number + 1, 1)).to_bytes(),
        "log_probs": save({"log_probs": torch.zeros(4, 2)}),
        "seconds": 1.0,
        "examples": 0,
    }
    ends = {"ended": end == "complete", "stopped": end == "pruned"}
    return Report(number=number, rung=rung, score=score, **(given | ends | fields))


def failure(number: int) -> Failure:
    return Failure(number, "RuntimeError: boom", "Traceback", 1.0)
