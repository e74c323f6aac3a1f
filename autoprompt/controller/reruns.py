"""Finalists' plans carried out once more, outside the search: with other seeds, or on folds."""

import random
from collections.abc import Mapping
from typing import Any

from autoprompt.controller.callbacks.rerun_writer import RerunWriter
from autoprompt.controller.dispatch import Dispatch, PlanSource
from autoprompt.controller.executor import Executor
from autoprompt.controller.stopping_rule import NoStopping
from autoprompt.workers.job import Job
from autoprompt.workers.report import Report


def carry_out(
    writer: RerunWriter[Any],
    executor: Executor,
    job: Job,
    name: str,
    together: int = 1,
    refill: bool = True,
) -> None:
    """Carry out a writer's runs; each is stored as it ends.

    Args:
        name: of all of them, in the executor's own words.
        together: how many of them, one after another, share a worker's passes.
        refill: whether another takes the place of one that has ended while others go on.
    """
    runs = {number: run.as_trial() for number, run in writer.runs.items()}
    source = _Listed(runs, at_least=1 if refill else together)
    dispatch = Dispatch(source, NoStopping(), writer, count=len(runs), together=together)
    executor.run(dispatch, job, name)


def reseeded(plan: Mapping[str, Any], run: str) -> dict[str, Any]:
    """A plan with the seeds of a run, which follow from its own."""
    seeds = {
        name: random.Random(f"{plan.get(name, 0)}/{run}").getrandbits(31)
        for name in ("seed", "data_seed")
    }
    return {**plan, **seeds}


class _Listed(PlanSource):
    """Hands out runs under their numbers in the list, none where there is room for fewer than
    `at_least`. Nothing is learnt of them."""

    def __init__(self, runs: Mapping[int, dict[str, Any]], at_least: int) -> None:
        self._waiting = [{"number": number, **run} for number, run in runs.items()]
        self._at_least = at_least

    def draw(self, count: int) -> list[dict[str, Any]]:
        if count < self._at_least:
            return []
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return drawn

    def reported(self, report: Report) -> None: ...

    def failed(self, number: int) -> None: ...
