"""A worker without a model: it replays recorded curves, for whatever runs real workers."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import save

from autoprompt.workers.plan_worker import Worker
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Report, Step
from autoprompt.workers.trial import TrialRunner
from benchmarks.curves import VALIDATION_TEXTS, Curves

_LOG_PROBS = save({"log_probs": torch.zeros(VALIDATION_TEXTS, 2)})


class ReplayWorker(Worker):
    """Carries out one trial at a time; its job is the curves."""

    def __init__(self, job: Curves) -> None:
        self._job = job

    def begin(self, trials: Sequence[dict[str, Any]]) -> None:
        [trial] = trials
        plan = trial["plan"]
        self._number = trial["number"]
        self._prompt = Prompt(f"prompt {plan['seed']}", (plan["seed"] % 997, 1)).to_bytes()
        self._rungs = iter(self._job.replay(plan))

    def advance(self) -> Step:
        report = Report(
            number=self._number,
            prompt=self._prompt,
            log_probs=_LOG_PROBS,
            gradient_norm=None,
            examples=0,
            **next(self._rungs),
        )
        if self._job.speed:
            time.sleep(report.seconds / self._job.speed)
        return Step([report], worker="simulated:0")

    def add(self, trials: Sequence[dict[str, Any]]) -> None: ...

    def drop(self, numbers: Sequence[int]) -> None: ...


class Simulated(TrialRunner):
    """In the place of `TrialRunner`."""

    def make_worker(self, job: Any) -> Worker:
        return ReplayWorker(job)
