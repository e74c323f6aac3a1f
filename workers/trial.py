"""The Ray Tune trainable: the only file of this package that knows Ray.

An actor outlives its trials (`reuse_actors`): its worker, with the model and the text cache,
belongs to the actor.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
import torch
from ray import tune
from ray.util.metrics import Counter, Gauge
from safetensors.torch import save

from autoprompt.search_spaces import AnyPlan, plan_from_dict
from autoprompt.workers import score_texts
from autoprompt.workers.job import Job
from autoprompt.workers.plan_worker import PlanWorker, Worker
from autoprompt.workers.report import Report
from autoprompt.workers.rows import Text

R = TypeVar("R")

# What a worker says to Prometheus; the controller's part is in
# autoprompt/controller/callbacks/prometheus.py.
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


class TrialRunner(tune.Trainable):
    """A worker as a Ray actor: what Tune calls a trial hands it one of ours, or several side by
    side; each `step` goes on until at least one of them reaches its next rung."""

    def setup(self, config: dict[str, Any], job: Any) -> None:
        _use_assigned_threads()
        self._worker = self.make_worker(job)
        self._search = job.search
        self._at_work = False
        self.reset_config(config)

    def make_worker(self, job: Any) -> Worker:
        """What carries out the plans, given what `setup` was."""
        return PlanWorker(job)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        trials = new_config["trials"]
        self._plans = _plans(trials)
        self._worker.begin(trials)
        return True

    def __repr__(self) -> str:
        """How Ray names this worker in errors; and on its dashboard, in the words of the moment at
        which the worker was made, for Ray does not ask again."""
        which = " and ".join(f"trial {number}, {plan.kind}" for number, plan in self._plans.items())
        name = f"{self._search}: {which}"
        return name if self._at_work else f"{name}, and those after it"

    def add(self, trials: Sequence[dict[str, Any]]) -> None:
        """Carry out these trials, too."""
        self._plans |= _plans(trials)
        self._worker.add(trials)

    def drop(self, numbers: Sequence[int]) -> None:
        """Carry out these trials no further."""
        self._worker.drop(numbers)

    def step(self) -> dict[str, Any]:
        """One `Step`. It is the scheduler that says when there is nothing more to do: Tune does not
        ask it about a result that is the last by its own word."""
        self._at_work = True
        step = self._worker.advance()
        for report in step.reports:
            if isinstance(report, Report) and report.examples:
                tags = {"search": self._search, "kind": self._plans[report.number].kind}
                EXAMPLES.inc(report.examples, tags)
        places = {
            "at_hand": step.work.cache_hits,
            "on_disk": step.work.texts_read,
            "nowhere": step.work.texts_encoded,
        }
        for place, count in places.items():
            if count:
                CACHE_TEXTS.inc(count, {"search": self._search, "found": place})
        CACHE_BYTES.set(step.cache_bytes, {"search": self._search})
        return {"step": step, "done": False}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what a trial has found is reported at every rung and kept in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, as nothing was saved."""


def _plans(trials: Sequence[dict[str, Any]]) -> dict[int, AnyPlan]:
    return {trial["number"]: plan_from_dict(trial["plan"]) for trial in trials}


def _use_assigned_threads() -> None:
    """As many threads as Ray gave this worker cores, or two workers fight over each core."""
    cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    torch.set_num_threads(max(1, int(cores)))


def score_texts_task(
    job: Job,
    prompts: Sequence[bytes],
    texts: Sequence[Text],
    baselines: Sequence[tuple[str, bytes]],
) -> bytes:
    """A Ray task: `score_texts`, as a safetensors document of `log_probs`, [N + M, B, L]."""
    _use_assigned_threads()
    return bytes(save({"log_probs": score_texts.score_texts(job, prompts, texts, baselines)}))


def on_worker_task(function: Callable[..., R], *arguments: Any) -> R:
    """A Ray task: a function of a job, on as many threads as a trial has."""
    _use_assigned_threads()
    return function(*arguments)


def on_workers_task(function: Callable[..., Iterator[R]], *arguments: Any) -> Iterator[R]:
    """A Ray task that streams what a function of a job yields, on a trial's number of threads."""
    _use_assigned_threads()
    yield from function(*arguments)
