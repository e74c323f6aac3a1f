"""How long a worker's training steps take, by themselves: without what comes before and behind."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Pack, Progress

#: Steps that are not counted: caches and allocators are cold.
WARM_UP = 3

_JUDGING = 4


@dataclass(frozen=True)
class Step:
    """One step of all plans.

    Attributes:
        batch: the train texts.
    """

    seconds: float
    batch: list[int]


@dataclass(frozen=True)
class _Clocked(Examples):
    """Examples that note when each batch was asked for, and by whom all went on."""

    asked: list[tuple[float, list[int]]] = field(default_factory=list)

    def train_batches(self, size: int, seed: int) -> Iterator[list[int]]:
        for batch in super().train_batches(size, seed):
            self.asked.append((time.perf_counter(), batch))
            yield batch


def timed_steps(plans: Mapping[int, AnyPlan], scorer: Scorer, examples: Examples) -> list[Step]:
    """The steps of plans side by side, as one worker carries them out: from when all of them have
    asked for a batch to when all have asked for the next one. The last step has no next one, and a
    few texts do to judge what is not timed.

    Args:
        plans: they share their batches and have one budget.
    """
    clocked = _Clocked(
        examples.train,
        examples.train_labels,
        examples.validation[:_JUDGING],
        examples.validation_labels[:_JUDGING],
    )
    pack = Pack(plans, scorer, clocked, fractions=(1.0,))
    while pack.numbers:
        for told in pack.advance():
            assert isinstance(told.outcome, Progress), told.outcome
    asked = clocked.asked[len(plans) - 1 :: len(plans)]
    steps = [
        Step(after - before, batch) for (before, batch), (after, _) in itertools.pairwise(asked)
    ]
    return steps[WARM_UP:]
