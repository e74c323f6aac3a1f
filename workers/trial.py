"""The Ray Tune trainable: the only file of this package that knows Ray.

An actor outlives its trials (`reuse_actors`): the model and the text cache belong to the actor, so
that after the first trial no model is loaded and no text encoded again.
"""

import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray import tune
from ray.util.metrics import Counter, Gauge
from safetensors.torch import save

from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.errors import ModelError
from autoprompt.search_spaces.schema import Position
from autoprompt.workers.data import Split
from autoprompt.workers.device_errors import raise_if_device_broken
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer, load_scorer
from autoprompt.workers.task import TaskSpec
from autoprompt.workers.text_cache import CacheSpec
from autoprompt.workers.tuners import Examples, Pack, Progress, Told

# What a worker says to Prometheus; the controller's part is in autoprompt/metrics.py.
EXAMPLES = Counter(
    "autoprompt_examples",
    "Texts that trials trained on or were judged by, each as often as it was used.",
    ("search", "kind"),
)
CACHE_TEXTS = Counter(
    "autoprompt_cache_texts",
    "Texts asked of the text cache, by where they were found: at_hand, on_disk or nowhere.",
    ("search", "found"),
)
CACHE_BYTES = Gauge(
    "autoprompt_cache_bytes",
    "What a worker keeps at hand of texts, in memory or mapped from files; told at each rung.",
    ("search",),
)

_FOUND = {"cache_hits": "at_hand", "texts_read": "on_disk", "texts_encoded": "nowhere"}


@dataclass(frozen=True)
class Job:
    """What every worker of a search is given once. The test split is not part of it.

    Attributes:
        longest_prompt: the most tokens a prompt may take; texts are cut to leave room for it.
        cache: how much of the texts each worker keeps, and where it is shared.
        positions: where the prompts of the space may stand.
        fractions: the rungs, each as a part of a plan's budget, rising to 1.
        patience: a trial ends after so many rungs without a better score.
        earlier: prompts that a soft trial may start from, as safetensors, by the names that plans
            know them by.
        search: its name, by which dashboards know it.
    """

    model: ModelSpec
    task: TaskSpec
    train: Split
    validation: Split
    longest_prompt: int
    cache: CacheSpec
    positions: frozenset[Position]
    fractions: tuple[float, ...]
    patience: int | None = None
    earlier: Mapping[str, bytes] = field(default_factory=dict)
    search: str = ""


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
            scorer.prefill(examples.validation, job.positions)
            scorer.prefill(examples.train, job.positions)
            self._scorer, self._examples = scorer, examples
        return self._scorer, self._examples

    def work(self) -> dict[str, int]:
        """What was done here so far: models loaded, and texts by how the cache came to them."""
        cache = self._scorer.cache if self._scorer else None
        return {
            "models_loaded": self.loads,
            "texts_encoded": cache.encoded if cache else 0,
            "texts_read": cache.read if cache else 0,
            "cache_hits": cache.hits if cache else 0,
        }

    @property
    def slower(self) -> str | None:
        """Why trials here take longer than they might."""
        return self._scorer.family.distrust if self._scorer else None

    @property
    def cache_bytes(self) -> int:
        return self._scorer.cache.bytes if self._scorer else 0


class TrialRunner(tune.Trainable):
    """Carries out the plans of a trial, or of several that share this worker; each `step` goes on
    until at least one of them reaches its next rung.

    A plan that raises is reported as failed rather than left to kill the worker, so that the
    other plans go on, and the model serves those that come next. A broken device is no plan's
    failure: it is raised, and Tune begins with another worker what was under way on this one.
    """

    def setup(self, config: dict[str, Any], job: Job) -> None:
        self._job = job
        self._bench = Workbench()
        self._at_work = False
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        trials = new_config["trials"]
        self._plans = {each["number"]: plan_from_dict(each["plan"]) for each in trials}
        self._pack: Pack | None = None
        #: Since its last report, by a trial's number: its part of this worker's time.
        self._seconds = dict.fromkeys(self._plans, 0.0)
        self._steps_done = dict.fromkeys(self._plans, 0)
        self._best: float | None = None
        return True

    def __repr__(self) -> str:
        """How Ray names this worker in errors; and on its dashboard, in the words of the moment at
        which the worker was made, for Ray does not ask again."""
        which = " and ".join(f"trial {number}, {plan.kind}" for number, plan in self._plans.items())
        told = f"{self._job.search}: {which}"
        if not self._at_work:
            return f"{told}, and those after it"
        return told if self._best is None else f"{told}, best {self._best:.4f}"

    def drop(self, numbers: Sequence[int]) -> None:
        """Carry out these trials no further."""
        if self._pack is not None:
            self._pack.drop(numbers)

    def step(self) -> dict[str, Any]:
        self._at_work = True
        before = self._bench.work()
        started = time.perf_counter()
        running = list(self._plans) if self._pack is None else self._pack.numbers
        told = self._advance()
        share = (time.perf_counter() - started) / len(running)
        for number in running:
            self._seconds[number] += share
        done = {name: count - before[name] for name, count in self._bench.work().items()}
        self._count_texts(done)
        return {
            "reports": [self._report(each) for each in told],
            "models_loaded": done["models_loaded"],
            "texts_encoded": done["texts_encoded"],
            "slower": self._bench.slower,
            "done": self._pack is None or not self._pack.numbers,
        }

    def _advance(self) -> list[Told]:
        if self._pack is None:
            try:
                scorer, examples = self._bench.open(self._job)
            except Exception as error:
                raise_if_device_broken(error)
                return [Told(number, error) for number in self._plans]
            job = self._job
            self._pack = Pack(self._plans, scorer, examples, job.fractions, job.patience)
        return self._pack.advance()

    def _report(self, told: Told) -> dict[str, Any]:
        number, outcome = told
        seconds, self._seconds[number] = self._seconds[number], 0.0
        common = {"number": number, "seconds": seconds}
        if isinstance(outcome, Exception):
            # A model may be on one node and not on another.
            where = f" (on {platform.node()})" if isinstance(outcome, ModelError) else ""
            return common | {
                "error": f"{type(outcome).__name__}: {outcome}{where}",
                "traceback": "".join(traceback.format_exception(outcome)),
            }
        self._count(number, outcome)
        return common | {
            "rung": outcome.rung,
            "step": outcome.step,
            "score": outcome.score,
            "loss": outcome.loss,
            "train_loss": outcome.train_loss,
            "prompt": outcome.prompt.to_bytes(),
            "log_probs": save({"log_probs": outcome.log_probs.contiguous()}),
            "ended": outcome.ended,
        }

    def _count(self, number: int, progress: Progress) -> None:
        plan = self._plans[number]
        trained = (progress.step - self._steps_done[number]) * plan.batch_size
        self._steps_done[number] = progress.step
        self._best = max(progress.score, progress.score if self._best is None else self._best)
        tags = {"search": self._job.search, "kind": plan.kind}
        EXAMPLES.inc(trained + len(self._job.validation), tags)

    def _count_texts(self, done: dict[str, int]) -> None:
        search = {"search": self._job.search}
        for work, found in _FOUND.items():
            if done[work]:
                CACHE_TEXTS.inc(done[work], search | {"found": found})
        CACHE_BYTES.set(self._bench.cache_bytes, search)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what a trial has found is reported at every rung and kept in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, as nothing was saved."""


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
