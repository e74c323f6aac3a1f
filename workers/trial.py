"""The Ray Tune trainable: the only file of this package that knows Ray.

An actor outlives its trials (`reuse_actors`): the model and the text cache belong to the actor, so
that after the first trial no model is loaded and no text encoded again.
"""

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray import tune
from safetensors.torch import save

from search_spaces import plan_from_dict
from workers.data import Split
from workers.model_files import ModelSpec
from workers.prompt import Prompt
from workers.scoring import Scorer, load_scorer
from workers.task import TaskSpec
from workers.text_cache import CacheSpec
from workers.tuners import Examples, Progress
from workers.tuners import tune as tune_prompt


@dataclass(frozen=True)
class Job:
    """What every worker of a search is given once. The test split is not part of it.

    Attributes:
        longest_prompt: the most tokens a prompt may take; texts are cut to leave room for it.
        cache: how much of the texts each worker keeps, and where it is shared.
        lays_after: whether any prompt of the space is laid after the text.
        fractions: the rungs, each as a part of a plan's budget, rising to 1.
        patience: a trial ends after so many rungs without a better score.
        earlier: prompts that a soft trial may start from, as safetensors, by the names that plans
            know them by.
    """

    model: ModelSpec
    task: TaskSpec
    train: Split
    validation: Split
    longest_prompt: int
    cache: CacheSpec
    lays_after: bool
    fractions: tuple[float, ...]
    patience: int | None = None
    earlier: Mapping[str, bytes] = field(default_factory=dict)


class Workbench:
    """A worker's model, its scorer, and the texts of the search, ready for any plan.

    Attributes:
        loads: how many times a model was loaded.
    """

    def __init__(self) -> None:
        self.loads = 0
        self._scorer: Scorer | None = None
        self._examples: Examples | None = None

    def open(self, job: Job) -> tuple[Scorer, Examples]:
        """The scorer and the tokenized examples, made on first use."""
        if self._scorer is None or self._examples is None:
            _use_assigned_threads()
            scorer = load_scorer(job.model, job.task, job.longest_prompt, job.cache)
            self.loads += 1
            examples = Examples(
                scorer.tokenize(job.train.texts),
                torch.tensor(job.train.labels),
                scorer.tokenize(job.validation.texts),
                torch.tensor(job.validation.labels),
                {name: Prompt.from_bytes(content) for name, content in job.earlier.items()},
            )
            if job.lays_after and scorer.reuses_text(examples.validation):
                scorer.cache.prefill(examples.validation)
                scorer.cache.prefill(examples.train)
            self._scorer, self._examples = scorer, examples
        return self._scorer, self._examples

    @property
    def texts_encoded(self) -> int:
        return self._scorer.cache.encoded if self._scorer else 0


class TrialRunner(tune.Trainable):
    """Runs one plan after another; each `step` goes on to the next rung.

    A trial that raises reports its error as a result rather than dying, so that the actor, and
    the model it holds, serve the next trial.
    """

    def setup(self, config: dict[str, Any], job: Job) -> None:
        self._job = job
        self._bench = Workbench()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._plan = plan_from_dict(new_config["plan"])
        self._rungs: Iterator[Progress] | None = None
        return True

    def step(self) -> dict[str, Any]:
        loads, encoded = self._bench.loads, self._bench.texts_encoded
        started = time.perf_counter()
        result: dict[str, Any]
        try:
            if self._rungs is None:
                scorer, examples = self._bench.open(self._job)
                self._rungs = tune_prompt(
                    self._plan, scorer, examples, self._job.fractions, self._job.patience
                )
            progress = next(self._rungs)
            result = _report(progress)
        except Exception as error:
            result = {
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
                "done": True,
            }
        return result | {
            "models_loaded": self._bench.loads - loads,
            "texts_encoded": self._bench.texts_encoded - encoded,
            "rung_seconds": time.perf_counter() - started,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what a trial has found is reported at every rung and kept in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, as nothing was saved."""


def _report(progress: Progress) -> dict[str, Any]:
    return {
        "rung": progress.rung,
        "step": progress.step,
        "score": progress.score,
        "loss": progress.loss,
        "train_loss": progress.train_loss,
        "prompt": progress.prompt.to_bytes(),
        "log_probs": save({"log_probs": progress.log_probs.contiguous()}),
        "ended": progress.ended,
        "done": progress.ended,
    }


def _use_assigned_threads() -> None:
    """As many threads as Ray gave this worker cores, or two workers fight over each core."""
    cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    torch.set_num_threads(max(1, int(cores)))


def score_texts(
    model: ModelSpec,
    task: TaskSpec,
    longest_prompt: int,
    prompts: Sequence[bytes],
    texts: Sequence[str],
) -> bytes:
    """A Ray task: the labels' log-probabilities for every prompt beside every text.

    Returns:
        A safetensors document of `log_probs`, [N, B, L].
    """
    _use_assigned_threads()
    scorer = load_scorer(model, task, longest_prompt)
    log_probs = scorer.score_texts([Prompt.from_bytes(content) for content in prompts], texts)
    return bytes(save({"log_probs": log_probs}))
