"""What the parts of a trial take on a worker: measured before any trial, on a few texts."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from autoprompt.search_spaces import AnyPlan, TrainedPlan, plan_from_dict
from autoprompt.workers.device_errors import raise_if_device_broken
from autoprompt.workers.job import Job
from autoprompt.workers.peak_memory import PeakMemory
from autoprompt.workers.population import first_steps, seconds_of
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_cache import TextCache
from autoprompt.workers.tuners import tune
from autoprompt.workers.workbench import Workbench, in_order_of_use

R = TypeVar("R")

#: Steps that are timed, behind a first one.
_STEPS = 8

#: And where a first one takes long, in seconds.
_FEW, _LONG = 2, 1.0


@dataclass(frozen=True)
class PlanTimes:
    """Seconds of a plan's parts.

    Attributes:
        begins: what comes before its first step.
        step: a step of training, or a round of its search for words.
        judging: a text that judges its prompt.
        error: why nothing was measured; None where it was.
    """

    begins: float = 0.0
    step: float = 0.0
    judging: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class TrialTimes:
    """What was measured on a worker.

    Attributes:
        load: seconds until the model is there, and it is settled whether its states are reused.
        token: seconds that the states of a text's token take; 0 where none are kept.
        plans: of each plan by itself, in their order.
        beside: a prompt's part of a step of training beside others, by what it takes alone.
        model_bytes: of the model's weights.
        working_bytes: that all of this took on top at its most; None where that cannot be told.
        device, dtype: on which, and in which, it ran.
        slower: why trials take longer than they might.
    """

    load: float
    token: float
    plans: tuple[PlanTimes, ...]
    beside: float
    model_bytes: int
    working_bytes: int | None
    device: str
    dtype: str
    slower: str | None = None


def measured_times(
    job: Job, few: Job, plans: Sequence[dict[str, Any]], together: int
) -> TrialTimes:
    """Carry out a few steps of each plan, and judge its prompt.

    Args:
        few: the same with few of the texts, all of which are used.
        together: measure a step of so many prompts side by side.

    Raises:
        ModelError, BadInputError: the model cannot be had, or does not suit the task.
    """
    bench = Workbench(few)
    load, scorer = _timed(bench.open)
    # Whether states are reused is settled by the texts that a search would settle it by, and kept.
    train = scorer.tokenize(job.train.texts, job.train.labels)
    validation = scorer.tokenize(job.validation.texts, job.validation.labels)
    texts = scorer.fitting(in_order_of_use(job, validation, train), job.positions, job.kv)
    if texts:
        trying, _ = _timed(lambda: scorer.family.trusts_cache(texts))
        load += trying
    peak = PeakMemory(scorer.model.device)
    drawn = [plan_from_dict(plan) for plan in plans]
    times = tuple(_plan_times(plan, bench) for plan in drawn)
    trained = {
        plan: own
        for plan, own in zip(drawn, times, strict=True)
        if isinstance(plan, TrainedPlan) and own.error is None
    }
    beside = 1.0
    if together > 1 and trained:
        beside = _beside(list(trained), list(trained.values()), together, bench)
    model = scorer.model
    parts = itertools.chain(model.model.parameters(), model.model.buffers())
    return TrialTimes(
        load=load,
        token=_token_seconds(scorer, few),
        plans=times,
        beside=beside,
        model_bytes=sum({part.data_ptr(): part.nbytes for part in parts}.values()),
        working_bytes=peak.bytes,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        slower=bench.slower,
    )


def _plan_times(plan: AnyPlan, bench: Workbench) -> PlanTimes:
    try:
        scorer, _, examples = bench.seat(plan)

        def run(more: int) -> tuple[list[float], Prompt]:
            """Seconds up to where its first step was judged, and up to where so many more were."""
            budget = {"steps" if isinstance(plan, TrainedPlan) else "rounds": 1 + more}
            rungs = (0.5 / (1 + more), 1.0) if more else (1.0,)
            started = time.perf_counter()
            ends = []
            for last in tune(plan.model_copy(update=budget), scorer, examples, rungs):
                ends.append(time.perf_counter() - started)
                prompt = last.prompt
            return ends, prompt

        [first], prompt = run(0)
        texts = examples.validation
        judging, _ = _timed(lambda: scorer.log_probs([prompt], texts))
        begins, step = 0.0, max(first - judging, 0.0)
        # What comes before the first step weighs little beside a round, and much beside a step.
        if first < _LONG or isinstance(plan, TrainedPlan):
            more = _STEPS if first < _LONG else _FEW
            (begun, ended), _ = run(more)
            step = max(ended - begun - judging, 0.0) / more
            begins = max(begun - step - judging, 0.0)
    except Exception as error:
        raise_if_device_broken(error)
        return PlanTimes(error=f"{type(error).__name__}: {error}")
    return PlanTimes(begins, step, judging / len(texts))


def _beside(
    plans: Sequence[AnyPlan], times: Sequence[PlanTimes], together: int, bench: Workbench
) -> float:
    scorer = bench.open()
    examples = bench.seat(plans[0]).part
    asked = first_steps(plans, scorer, examples)
    many = list(itertools.islice(itertools.cycle(asked), together))
    alone = sum(itertools.islice(itertools.cycle(own.step for own in times), together))
    return min(seconds_of(many, scorer, examples) / alone, 1.0) if alone else 1.0


def _token_seconds(scorer: Scorer, job: Job) -> float:
    """Of the states of validation texts, computed anew."""
    alone = type(scorer)(scorer.model, scorer.task, job.longest_prompt, TextCache(scorer.model))
    alone.family.trust_like(scorer.family)
    texts = alone.tokenize(job.validation.texts, job.validation.labels)
    took, _ = _timed(lambda: alone.prefill(texts, job.positions, job.kv))
    return took / sum(map(len, texts)) if alone.cache.encoded else 0.0


def _timed(work: Callable[[], R]) -> tuple[float, R]:
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made
