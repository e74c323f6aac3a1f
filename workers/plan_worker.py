"""A worker: it carries out plans beside a frozen model, one after another or several at a time.

It knows nothing of what runs it; `trial.py` makes a Ray actor of it.
"""

import os
import platform
import time
import traceback
from collections.abc import Sequence
from typing import Any, Protocol

from autoprompt.search_spaces import AnyPlan, plan_from_dict
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.answers import answers_of
from autoprompt.workers.device_errors import raise_if_device_broken
from autoprompt.workers.job import Job
from autoprompt.workers.report import Failure, Report, Step
from autoprompt.workers.tuners import Packs, Told
from autoprompt.workers.workbench import Workbench


class Worker(Protocol):
    """What carries out plans."""

    def begin(self, trials: Sequence[dict[str, Any]]) -> None:
        """Take on trials, each with its `number` and `plan`, and the number of a `fold` where it
        leaves one out; what was under way is left."""

    def advance(self) -> Step:
        """Go on until at least one trial reaches a rung or fails."""

    def add(self, trials: Sequence[dict[str, Any]]) -> None:
        """Take on these trials beside those under way."""

    def drop(self, numbers: Sequence[int]) -> None:
        """Carry out these trials no further."""


class PlanWorker:
    """Carries out plans on one model.

    A plan that raises is reported as failed rather than left to end the worker, so that the other
    plans go on, and the model serves those that come next. A broken device is no plan's failure: it
    is raised, to end the worker, and what was under way begins again on another.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._bench = Workbench(job)
        self._name = f"{platform.node()}:{os.getpid()}"
        self.begin(())

    def begin(self, trials: Sequence[dict[str, Any]]) -> None:
        job = self._job
        self._plans: dict[int, AnyPlan] = {}
        self._folds: dict[int, int | None] = {}
        #: Those that have not been begun.
        self._waiting: dict[int, AnyPlan] = {}
        ways = (job.fractions, job.patience, job.negative_correlation)
        self._packs = Packs(self._bench.seat, *ways)
        #: Since its last report, by a trial's number: its part of this worker's time.
        self._seconds: dict[int, float] = {}
        self._steps_done: dict[int, int] = {}
        self.add(trials)

    def add(self, trials: Sequence[dict[str, Any]]) -> None:
        plans = {trial["number"]: plan_from_dict(trial["plan"]) for trial in trials}
        self._folds |= {trial["number"]: trial.get("fold") for trial in trials}
        self._plans |= plans
        self._waiting |= plans
        self._seconds |= dict.fromkeys(plans, 0.0)
        self._steps_done |= dict.fromkeys(plans, 0)

    def drop(self, numbers: Sequence[int]) -> None:
        self._packs.drop(numbers)

    def advance(self) -> Step:
        before = self._bench.work()
        started = time.perf_counter()
        running = [*self._packs.numbers, *self._waiting]
        outcomes = self._go_on()
        share = (time.perf_counter() - started) / max(len(running), 1)
        for number in running:
            self._seconds[number] += share
        return Step(
            reports=[self._report(outcome) for outcome in outcomes],
            worker=self._name,
            work=self._bench.work().since(before),
            cache_bytes=self._bench.cache_bytes,
            slower=self._bench.slower,
        )

    def _go_on(self) -> list[Told]:
        waiting, self._waiting = self._waiting, {}
        try:
            self._bench.open()
        except Exception as error:
            raise_if_device_broken(error)
            return [Told(number, error) for number in waiting]
        if not self._packs.numbers:
            self._bench.clear()
        self._packs.add(waiting, self._folds)
        return self._packs.advance()

    def _report(self, entry: Told) -> Report | Failure:
        number, outcome = entry
        seconds, self._seconds[number] = self._seconds[number], 0.0
        if isinstance(outcome, Exception):
            # A model may be on one node and not on another.
            where = f" (on {platform.node()})" if isinstance(outcome, ModelError) else ""
            error = f"{type(outcome).__name__}: {outcome}{where}"
            trace = "".join(traceback.format_exception(outcome))
            return Failure(number, error, trace, seconds)
        steps, self._steps_done[number] = self._steps_done[number], outcome.step
        trained = (outcome.step - steps) * self._plans[number].batch_size
        return Report(
            number=number,
            rung=outcome.rung,
            step=outcome.step,
            score=outcome.score,
            loss=outcome.loss,
            train_loss=outcome.train_loss,
            gradient_norm=outcome.gradient_norm,
            prompt=outcome.prompt.to_bytes(),
            log_probs=answers_of(self._job.task).packed(outcome.log_probs.numpy()),
            seconds=seconds,
            examples=trained + (outcome.judged or len(self._job.validation)),
            ended=outcome.ended,
            judged=outcome.judged,
        )
