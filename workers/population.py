"""How many trials one worker carries out side by side: as many as its hardware uses well.

A prompt's few query tokens leave a processor waiting for its memory, and a GPU for anything to do.
What a prompt's part of a training step takes falls with every one beside it, until passes are full.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from autoprompt.search_spaces import AnyPlan, plan_from_dict
from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples
from autoprompt.workers.tuners.kinds import TUNERS
from autoprompt.workers.tuners.progress import Backward
from autoprompt.workers.tuners.training import costs_of, grade, in_passes
from autoprompt.workers.workbench import Workbench

#: Twice as many have to make a prompt's part of a step so much shorter.
_GAIN = 0.9

#: A step is timed so often, and the shortest counts.
_REPEATS = 2

#: Train texts that are read for it, where no batch is larger.
_TEXTS = 64


@dataclass(frozen=True)
class Population:
    """What was measured.

    Attributes:
        seconds: of a prompt's part of a training step, by how many stand side by side, rising.
        most: how many a search of its size has use for.
    """

    seconds: Mapping[int, float]
    most: int

    @property
    def size(self) -> int:
        """The largest number that was still worth its doubling, and no more than have a use."""
        sizes = list(self.seconds)
        worth = 1
        for fewer, more in itertools.pairwise(sizes):
            if self.seconds[more] > _GAIN * self.seconds[fewer]:
                break
            worth = more
        return min(worth, self.most)

    def __str__(self) -> str:
        """The choice, and why."""
        found = ", ".join(f"{took:.3g} s of {size}" for size, took in self.seconds.items())
        if not found:
            return f"{self.size} (a search of this size has no use for more)"
        return f"{self.size} (a prompt's part of a training step: {found})"


def measured_population(job: Job, plans: Sequence[dict[str, Any]], most: int) -> Population:
    """Steps of 1, 2, 4, ... times the prompts of these plans, until more gain nothing.

    Args:
        plans: one of each kind in the space.
        most: look no further.

    Raises:
        ModelError, BadInputError: the model or a plan cannot be had.
    """
    scorer = Workbench(job).open()
    drawn = [plan_from_dict(plan) for plan in plans]
    few = max([_TEXTS, *(plan.batch_size for plan in drawn)])
    examples = Examples(
        scorer.tokenize(job.train.texts[:few], job.train.labels[:few]),
        scorer.task.readout.targets(job.train.labels[:few]),
        [],
        torch.tensor([]),
        {name: Prompt.from_bytes(content) for name, content in job.earlier.items()},
        job.task.metric,
    )
    asked = first_steps(drawn, scorer, examples)
    if not asked:
        return Population({}, 1)
    alone = sum(seconds_of([request], scorer, examples) for request in asked) / len(asked)
    seconds = {1: alone}
    for doublings in itertools.count(0 if len(asked) > 1 else 1):
        size = len(asked) << doublings
        together = list(itertools.islice(itertools.cycle(asked), size))
        seconds[size] = seconds_of(together, scorer, examples) / size
        *_, before, now = seconds.values()
        if now > _GAIN * before or size >= most:
            break
    return Population(seconds, most)


def first_steps(plans: Sequence[AnyPlan], scorer: Scorer, examples: Examples) -> list[Backward]:
    """What the plans' tuners ask for first: one that asks for no gradient has no part in a step."""
    requests = (next(TUNERS[plan.kind](plan, scorer, examples, (1.0,))) for plan in plans)
    return [request for request in requests if isinstance(request, Backward)]


def seconds_of(asked: Sequence[Backward], scorer: Scorer, examples: Examples) -> float:
    """Of a step of these prompts, in as few passes as a pack makes of them."""

    def step(places: Sequence[int]) -> None:
        grade([asked[place] for place in places], scorer, examples)

    def once() -> float:
        started = time.perf_counter()
        for _ in in_passes(costs_of(asked, scorer, examples), scorer, step):
            pass
        return time.perf_counter() - started

    once()  # texts are encoded, and memory is taken
    return min(once() for _ in range(_REPEATS))
