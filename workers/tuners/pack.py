"""Several plans in step with one another on one worker, their prompts trained in one pass.

A tuner asks for a prompt's loss on a batch, and goes on once the gradients are there. Prompts that
ask for the same batch, and may go over reused texts, are answered together: they stand side by side
behind each text, each seeing the text and itself only, so that one pass and one backward pass serve
all of them. Others are answered one by one, which gives the same numbers.
"""

import logging
import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from search_spaces import AnyPlan
from workers.prompt import Laid
from workers.scoring import Scorer
from workers.tuners.examples import Examples
from workers.tuners.hard import tune_hard
from workers.tuners.mixed import tune_mixed
from workers.tuners.progress import Backward, Progress
from workers.tuners.soft import tune_soft
from workers.tuners.training import Graded, grade, passed_on

log = logging.getLogger(__name__)

_TUNERS = {"soft": tune_soft, "hard": tune_hard, "mixed": tune_mixed}


class Told(NamedTuple):
    """What became of a plan: it reached a rung, or failed.

    Attributes:
        number: its trial's.
    """

    number: int
    outcome: Progress | Exception


@dataclass
class _Member:
    """A plan that is being carried out.

    Attributes:
        wants: what it waits for; None before its first step and after a rung.
        best: its best score so far.
        waited: rungs since then.
    """

    plan: AnyPlan
    tuner: Generator[Backward | Progress, float, None]
    wants: Backward | None = None
    best: float = -1.0
    waited: int = 0


class Pack:
    """Plans under way, by their trials' numbers.

    Args:
        fractions: the rungs, each as a part of a plan's budget, rising to 1.
        patience: a plan ends after so many rungs without a better score; None runs to the end.
    """

    def __init__(
        self,
        plans: Mapping[int, AnyPlan],
        scorer: Scorer,
        examples: Examples,
        fractions: Sequence[float],
        patience: int | None = None,
    ) -> None:
        self._scorer = scorer
        self._examples = examples
        self._patience = patience
        self._members = {
            number: _Member(plan, _TUNERS[plan.kind](plan, scorer, examples, fractions))  # type: ignore[operator]
            for number, plan in plans.items()
        }

    @property
    def numbers(self) -> list[int]:
        """The plans that have more to do."""
        return list(self._members)

    def drop(self, numbers: Iterable[int]) -> None:
        """Carry out these plans no further."""
        for number in numbers:
            member = self._members.pop(number, None)
            if member is not None:
                member.tuner.close()

    def advance(self) -> list[Told]:
        """Go on until at least one plan reaches a rung or fails; empty once none is left.

        A plan that fails leaves the others as they are.
        """
        told: list[Told] = []
        for number, member in list(self._members.items()):
            if member.wants is None:
                told += self._go_on(number)
        while self._members and not told:
            for numbers in list(self._passes()):
                told += self._step(numbers)
        return told

    def _passes(self) -> Iterator[list[int]]:
        """The numbers of plans whose steps share a pass."""
        same: dict[tuple[int, ...], list[int]] = {}
        for number, member in self._members.items():
            if member.wants is not None:
                same.setdefault(tuple(member.wants.batch), []).append(number)
        for batch, numbers in same.items():
            texts = [self._examples.train[index] for index in batch]
            for together, _ in self._scorer.packs([self._laid(n) for n in numbers], texts):
                yield [numbers[place] for place in together]

    def _laid(self, number: int) -> Laid:
        wants = self._members[number].wants
        assert wants is not None
        return wants.laid

    def _step(self, numbers: Sequence[int]) -> Iterator[Told]:
        wants = self._members[numbers[0]].wants
        assert wants is not None
        texts = [self._examples.train[index] for index in wants.batch]
        labels = self._examples.train_labels[wants.batch]
        laid = [self._laid(number) for number in numbers]
        try:
            graded = grade(laid, self._scorer, texts, labels)
            failed = None if all(map(_is_finite, graded)) else "a loss that is no number"
        except Exception as error:
            if len(numbers) == 1:
                self.drop(numbers)
                yield Told(numbers[0], error)
                return
            failed = str(error)
        if failed and len(numbers) > 1:
            # What is no number hides behind no mask, and memory may do for one by itself.
            log.warning("one by one, as a pass for %d prompts ended in: %s", len(numbers), failed)
            for number in numbers:
                yield from self._step([number])
            return
        for number, each, found in zip(numbers, laid, graded, strict=True):
            yield from self._go_on(number, passed_on(each, found))

    def _go_on(self, number: int, loss: float | None = None) -> Iterator[Told]:
        """A plan's own part: an optimizer's step, swaps, and at a rung what its prompt scores."""
        member = self._members[number]
        try:
            found = next(member.tuner) if loss is None else member.tuner.send(loss)
        except Exception as error:
            self.drop([number])
            yield Told(number, error)
            return
        if isinstance(found, Backward):
            member.wants = found
            return
        member.wants = None
        member.waited = 0 if found.score > member.best else member.waited + 1
        member.best = max(member.best, found.score)
        impatient = self._patience is not None and member.waited >= self._patience
        ended = impatient or found.step == member.plan.budget
        if ended:
            self.drop([number])
        yield Told(number, replace(found, ended=ended))


def _is_finite(graded: Graded) -> bool:
    parts = [part for part in graded.gradient if part is not None]
    return math.isfinite(graded.loss) and all(bool(part.isfinite().all()) for part in parts)
