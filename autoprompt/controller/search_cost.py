"""What a search will cost, estimated before it begins from a short measurement on its model."""

import logging
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autoprompt.controller.executor import Executor
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.stopping_rules import stopping_rule
from autoprompt.preparation.kept_texts import KeptTexts, kept_texts
from autoprompt.preparation.prepare import Prepared
from autoprompt.preparation.trial_tokens import plan_tokens
from autoprompt.progress import SearchProgress
from autoprompt.quiet import quiet
from autoprompt.search_spaces import AnyPlan, HardPlan, TrainedPlan, plan_from_dict
from autoprompt.search_spaces.durations import shown_seconds
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spaces.wording_space import Proposals
from autoprompt.workers.answers import answers_of
from autoprompt.workers.blocks import Blocks, stratified
from autoprompt.workers.job import Job
from autoprompt.workers.trial_times import PlanTimes, TrialTimes, measured_times

#: Plans that are drawn at random, to see what the space's are like on the mean.
_PLANS = 64

#: Validation texts that are read for it.
_JUDGING = 16

#: Batches of train texts that are read for it, where words race on them.
_RACED = 2


@dataclass(frozen=True)
class TrialCost:
    """Seconds of whole trials of a kind, by themselves on a worker that has the texts' states.

    Attributes:
        least, mean, most: over plans drawn from the space.
        tokens: that they push through the model, on the mean.
        error: why nothing was measured; None where it was.
    """

    least: float
    mean: float
    most: float
    tokens: int
    error: str | None = None


@dataclass(frozen=True)
class SearchCost:
    """What a search will cost.

    Attributes:
        times: what was measured.
        texts: seconds that a worker takes for the states of all texts.
        kinds: what a trial costs, by kind.
        trials: seconds of all trials on the search's workers, the model's loading and the texts'
            states with them.
        workers: that share them.
        together: trials side by side on each.
        kept: where they keep the texts' states; None where nothing is kept.
    """

    times: TrialTimes
    texts: float
    kinds: Mapping[str, TrialCost]
    trials: float
    workers: int
    together: int
    kept: KeptTexts | None

    @property
    def quickest(self) -> tuple[str, float] | None:
        """The kind whose trials take least, and how long; None where none could be measured."""
        known = {kind: cost.mean for kind, cost in self.kinds.items() if cost.error is None}
        return min(known.items(), key=lambda each: each[1]) if known else None


def search_cost(
    prepared: Prepared, executor: Executor, workers: int, progress: SearchProgress
) -> SearchCost:
    """Measure a few steps on a worker, and reckon with them.

    Args:
        workers: that the search will have.

    Raises:
        ModelError, BadInputError: the model cannot be had, or does not suit the task.
    """
    spec, space = prepared.config.search, prepared.config.space
    if isinstance(space.label_words, Proposals) and not space.label_words.found:
        space = space.model_copy(update={"label_words": None})
    with quiet("optuna", logging.WARNING):
        trials = OptunaSearcher(space, spec.seed).draw(min(spec.trials, _PLANS))
    plans = [plan_from_dict(trial["plan"]) for trial in trials]
    by_kind: dict[str, list[AnyPlan]] = defaultdict(list)
    for plan in plans:
        by_kind[plan.kind].append(plan)
    typical = {kind: _typical(own, prepared) for kind, own in by_kind.items()}
    asked = [plan.model_dump() for plan in typical.values()]
    together = spec.together
    with progress.step("measuring a few steps of training and judging"):
        few = _of_few_texts(prepared, plans)
        times = executor.on_worker(measured_times, prepared.job, few, asked, together)
    measured = dict(zip(typical, times.plans, strict=True))
    kept = kept_texts(prepared)
    estimates = [
        _Estimate(plan, typical[plan.kind], measured[plan.kind], times, kept, prepared)
        for plan in plans
    ]
    texts = sum(kept.tokens) * times.token if kept is not None else 0.0
    return SearchCost(
        times=times,
        texts=texts,
        kinds={
            kind: _cost([own for own in estimates if own.plan.kind == kind]) for kind in typical
        },
        trials=times.load + texts + _work(estimates, prepared) / workers,
        workers=workers,
        together=together,
        kept=kept,
    )


def refuse_too_short(prepared: Prepared, executor: Executor, progress: SearchProgress) -> None:
    """See that a search's time limit has room for a trial.

    Raises:
        BadInputError: it has not.
    """
    spec = prepared.config.search
    if spec.time_limit is None:
        return
    found = search_cost(prepared, executor, executor.workers, progress)
    if found.quickest is None:
        return
    kind, seconds = found.quickest
    if seconds > spec.time_limit:
        raise BadInputError(
            f"{prepared.config.source}: search.time_limit: {shown_seconds(spec.time_limit)} are "
            f"too short for one trial, which takes about {shown_seconds(seconds)} here ({kind}, "
            "which takes least); allow more, or fewer steps"
        )
    each = ", ".join(
        f"{shown_seconds(cost.mean)} ({kind})"
        for kind, cost in found.kinds.items()
        if cost.error is None
    )
    progress.say(
        f"a whole trial takes about {each} by itself; all {spec.trials} about "
        f"{shown_seconds(found.trials)}, and the time limit is {shown_seconds(spec.time_limit)}"
    )


def _typical(plans: Sequence[AnyPlan], prepared: Prepared) -> AnyPlan:
    """The one of these whose steps are as long as most."""
    ordered = sorted(plans, key=lambda plan: plan_tokens(plan, prepared.texts).step)
    return ordered[len(ordered) // 2]


def _of_few_texts(prepared: Prepared, plans: Sequence[AnyPlan]) -> Job:
    """The search's job with a few texts of each label, and nothing on disk."""
    job = prepared.job
    batches = [plan.batch_size * (_RACED if isinstance(plan, HardPlan) else 1) for plan in plans]
    answers = answers_of(prepared.config.task)

    def few(labels: Sequence[Any], count: int) -> Sequence[int]:
        return stratified(answers.divided(labels), seed=0)[:count]

    return replace(
        job,
        train=job.train.at(few(job.train.labels, max(batches))),
        validation=job.validation.at(few(job.validation.labels, _JUDGING)),
        blocks=Blocks(),
        cache=replace(job.cache, bytes_on_disk=0),
    )


class _Estimate:
    """What a plan takes, by what a typical one of its kind took.

    Attributes:
        judged: how many texts judge each rung.
        tokens: that a whole trial pushes through the model.
        error: why nothing was measured.
    """

    def __init__(
        self,
        plan: AnyPlan,
        typical: AnyPlan,
        measured: PlanTimes,
        times: TrialTimes,
        kept: KeptTexts | None,
        prepared: Prepared,
    ) -> None:
        self.plan = plan
        self.error = measured.error
        texts, count, blocks = prepared.texts, len(prepared.job.validation), prepared.job.blocks
        self._fractions = prepared.job.fractions
        self.judged = [blocks.at(rung) or count for rung in range(1, len(self._fractions) + 1)]
        own, known = plan_tokens(plan, texts), plan_tokens(typical, texts)
        self.tokens = plan.budget * own.step + sum(self.judged) * own.judging
        # What is not kept is computed each time, which the measurement on few texts does not see.
        train, validation = kept.anew if kept is not None else (0, 0)
        anew = plan.batch_size * train / len(texts.train)
        self._begins = measured.begins
        self._step = measured.step * own.step / known.step + anew * times.token
        self._text = measured.judging * own.judging / known.judging
        self._text += validation / count * times.token
        self._beside = times.beside if isinstance(plan, TrainedPlan) else 1.0

    def seconds(self, rungs: int, beside: bool) -> float:
        """Up to a rung, counted from 1.

        Args:
            beside: others that are trained in the same steps.
        """
        step = self._step * (self._beside if beside else 1.0)
        steps = math.ceil(self.plan.budget * self._fractions[rungs - 1])
        return self._begins + steps * step + sum(self.judged[:rungs]) * self._text


def _cost(estimates: Sequence[_Estimate]) -> TrialCost:
    """Of the plans of one kind."""
    rungs = len(estimates[0].judged)
    seconds = [estimate.seconds(rungs, beside=False) for estimate in estimates]
    tokens = sum(estimate.tokens for estimate in estimates) / len(estimates)
    mean = sum(seconds) / len(seconds)
    return TrialCost(min(seconds), mean, max(seconds), round(tokens), estimates[0].error)


def _work(estimates: Sequence[_Estimate], prepared: Prepared) -> float:
    """Seconds of all trials on one worker: made-up scores say who is stopped where, by the search's
    own rule."""
    spec = prepared.config.search
    rule, draws = stopping_rule(prepared.config), random.Random(spec.seed)
    known = [estimate for estimate in estimates if estimate.error is None]
    seconds = []
    for number, estimate in enumerate(known):
        rule.enter(number, estimate.plan.kind)
        score, rung = draws.random(), 1
        while rung < spec.rungs and not rule.stops(number, rung, score):
            rung += 1
        rule.leave(number)
        seconds.append(estimate.seconds(rung, beside=spec.together > 1))
    return spec.trials * sum(seconds) / max(len(seconds), 1)
