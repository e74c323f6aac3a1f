"""A tuner without a model: it replays recorded curves, through whatever runs real trials."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from ray import tune
from safetensors.torch import save

from autoprompt.workers.prompt import Prompt
from benchmarks.curves import VALIDATION_TEXTS, Curves


class Replay:
    """One simulated trial: iterates over the results that `TrialRunner.step` would return."""

    def __init__(self, drawn: dict[str, Any], curves: Curves) -> None:
        plan = drawn["plan"]
        self._number = drawn["number"]
        self._prompt = Prompt(f"prompt {plan['seed']}", (plan["seed"] % 997, 1)).to_bytes()
        self._rungs = curves.replay(plan)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for rung in self._rungs:
            report = {"prompt": self._prompt, "log_probs": _LOG_PROBS, "number": self._number}
            yield {
                "reports": [rung | report],
                "models_loaded": 0,
                "texts_encoded": 0,
                "done": rung["ended"],
            }


_LOG_PROBS = save({"log_probs": torch.zeros(VALIDATION_TEXTS, 2)})


class Simulated(tune.Trainable):
    """In the place of `TrialRunner`; its job is the curves."""

    def setup(self, config: dict[str, Any], job: Curves) -> None:
        self._job = job
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._results = iter(Replay(new_config["trials"][0], self._job))
        return True

    def step(self) -> dict[str, Any]:
        result = next(self._results)
        if self._job.speed:
            time.sleep(result["reports"][0]["seconds"] / self._job.speed)
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None: ...

    def load_checkpoint(self, checkpoint: Any) -> None: ...
