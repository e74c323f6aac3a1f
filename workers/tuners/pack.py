"""Several plans in step with one another on one worker, their prompts trained in one pass.

A tuner asks for a prompt's loss on a batch, and goes on once the gradients are there. Prompts that
may go over reused texts are answered together, whatever batches they ask for: each sees its own
texts and itself only, so that one pass and one backward pass serve all of them. Others are answered
one by one, which gives the same numbers. Prompts that are at a rung at the same time are judged
together in the same way.

With a weight, prompts of one fold that are trained on the same batches are each other's company
(`company.py`), and come out otherwise than by themselves. What became of them is then told at once,
so that they begin again together if their worker dies.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from autoprompt.search_spaces import AnyPlan, TrainedPlan
from autoprompt.workers.device_errors import (
    is_device_broken,
    is_out_of_memory,
    raise_if_device_broken,
)
from autoprompt.workers.prompt import named
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.judging import judged, judged_by_fewer, judged_by_more
from autoprompt.workers.tuners.kinds import TUNERS
from autoprompt.workers.tuners.progress import AtRung, Backward, Progress, Tuner
from autoprompt.workers.tuners.training import (
    Graded,
    costs_of,
    finite,
    grade,
    in_company,
    in_passes,
    passed_on,
)

log = logging.getLogger(__name__)

#: A plan at a rung, judged, or why it failed there.
Outcome = Progress | Exception


class Told(NamedTuple):
    """What became of a plan: it reached a rung, or failed.

    Attributes:
        number: its trial's.
    """

    number: int
    outcome: Outcome


@dataclass
class _Member:
    """A plan that is being carried out.

    Attributes:
        examples: what it may see.
        request: what its tuner came to last; None before it has begun.
        best: its best rung so far, as the texts that judged it see it.
        waited: rungs since its best score.
        graded: its last step since its last rung.
    """

    plan: AnyPlan
    tuner: Tuner
    examples: Examples
    request: Backward | AtRung | None = None
    best: Progress | None = None
    waited: int = 0
    graded: Graded | None = None


class Pack:
    """Plans under way, by their trials' numbers.

    Args:
        examples: the texts of all of them.
        fractions: the rungs, each as a part of a plan's budget, rising to 1.
        patience: a plan ends after so many rungs without a better score; None runs to the end.
        weight: of negative correlation; above 0, plans that see the same texts begin together, and
            none of them is dropped alone.
    """

    def __init__(
        self,
        plans: Mapping[int, AnyPlan],
        scorer: Scorer,
        examples: Examples,
        fractions: Sequence[float],
        patience: int | None = None,
        weight: float = 0.0,
    ) -> None:
        self._scorer = scorer
        self._examples = examples
        self._fractions = fractions
        self._patience = patience
        self._weight = weight
        self._members: dict[int, _Member] = {}
        #: By what plans see: what became of those whose company has more to do.
        self._held: dict[int, list[Told]] = defaultdict(list)
        self.add(plans)

    def add(self, plans: Mapping[int, AnyPlan], part: Examples | None = None) -> None:
        """Carry out these plans, too: from their beginning, beside what is under way.

        Args:
            part: of the examples, which they may see; None for all.
        """
        examples = part or self._examples
        for number, plan in plans.items():
            tuner = TUNERS[plan.tuner or plan.kind](plan, self._scorer, examples, self._fractions)
            self._members[number] = _Member(plan, tuner, examples)

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

        Raises:
            DeviceBrokenError: none of them can go on in this process.
        """
        outcomes: list[Told] = []
        while self._members and not outcomes:
            sees = {number: id(member.examples) for number, member in self._members.items()}
            outcomes = self._advance()
            if self._weight:
                outcomes = self._told_at_once(outcomes, sees)
        return outcomes

    def _advance(self) -> list[Told]:
        """As `advance`, whoever has company."""
        outcomes: list[Told] = []
        for number, member in list(self._members.items()):
            if not isinstance(member.request, Backward):
                outcomes += self._go_on(number)
        while self._members and not outcomes and not self._at_rung():
            outcomes += self._train()
        return outcomes + self._judge()

    def _told_at_once(self, outcomes: Sequence[Told], sees: Mapping[int, int]) -> list[Told]:
        """What may be told: of plans whose whole company has ended.

        Args:
            sees: what each plan that was under way sees, by its `id`.
        """
        for told in outcomes:
            self._held[sees[told.number]].append(told)
        under_way = {id(member.examples) for member in self._members.values()}
        done = [seen for seen in self._held if seen not in under_way]
        return [told for seen in done for told in self._held.pop(seen)]

    def _at_rung(self) -> dict[int, AtRung]:
        return {
            number: member.request
            for number, member in self._members.items()
            if isinstance(member.request, AtRung)
        }

    def _asked(self) -> dict[int, Backward]:
        return {
            number: Backward(request.laid, member.examples.in_whole(request.batch))
            for number, member in self._members.items()
            if isinstance(request := member.request, Backward)
        }

    def _sees(self) -> dict[int, int]:
        """What plans see that numbers are trained of, by its `id`."""
        return {
            number: id(member.examples)
            for number, member in self._members.items()
            if isinstance(member.plan, TrainedPlan)
        }

    def _train(self) -> list[Told]:
        """A step of every plan that asks for one."""
        try:
            asked = self._asked()
            if self._weight:
                asked = in_company(asked, self._sees(), self._weight, self._scorer, self._examples)
            costs = costs_of(list(asked.values()), self._scorer, self._examples)
        except Exception as error:
            return [self._failed(number, error) for number in self.numbers]
        numbers = list(asked)

        def step(places: Sequence[int]) -> list[Told]:
            return self._step({numbers[place]: asked[numbers[place]] for place in places})

        return [told for made in in_passes(costs, self._scorer, step) for told in made]

    def _step(self, asked: Mapping[int, Backward]) -> list[Told]:
        """A step of these plans in one pass, or one by one.

        Raises:
            RuntimeError: memory does not hold the pass of several; none of them has stepped.
        """
        numbers = list(asked)
        try:
            graded = grade(list(asked.values()), self._scorer, self._examples)
            sound = all(math.isfinite(each.loss) for each in graded) and all(finite(graded))
            failed = None if sound else "a loss that is no number"
        except Exception as error:
            if len(numbers) == 1 or is_device_broken(error):
                return [self._failed(numbers[0], error)]
            if is_out_of_memory(error):
                raise
            failed = str(error)
        if failed and len(numbers) > 1:
            # What is no number hides behind no mask.
            log.warning("one by one, as a pass for %d prompts ended in: %s", len(numbers), failed)
            return [told for number in numbers for told in self._step({number: asked[number]})]
        outcomes: list[Told] = []
        for number, grades in zip(numbers, graded, strict=True):
            self._members[number].graded = grades
            outcomes += self._go_on(number, passed_on(asked[number].laid, grades))
        return outcomes

    def _go_on(self, number: int, loss: float | None = None) -> Iterator[Told]:
        """A plan's own part, up to what it asks for next: an optimizer's step, or swaps."""
        member = self._members[number]
        try:
            member.request = next(member.tuner) if loss is None else member.tuner.send(loss)
        except Exception as error:
            yield self._failed(number, error)

    def _judge(self) -> list[Told]:
        at_rung = self._at_rung()
        if not at_rung:
            return []
        seen: dict[int, list[int]] = defaultdict(list)
        for number in at_rung:
            seen[id(self._members[number].examples)].append(number)
        told = [
            each
            for numbers in seen.values()
            for each in self._judge_beside({number: at_rung[number] for number in numbers})
        ]
        return sorted(told, key=lambda each: list(at_rung).index(each.number))

    def _judge_beside(self, at_rung: Mapping[int, AtRung]) -> list[Told]:
        """What plans are worth that see the same texts."""
        members = [self._members[number] for number in at_rung]
        plans, examples = [member.plan for member in members], members[0].examples
        try:
            judgements = judged(plans, list(at_rung.values()), self._scorer, examples)
        except Exception as error:
            return [self._failed(number, error) for number in at_rung]
        outcomes: dict[int, Outcome] = dict(zip(at_rung, judgements, strict=True))
        for number, at in at_rung.items():
            outcomes[number] = self._against_the_best(number, at, outcomes[number])
        outcomes |= self._judged_by_enough(at_rung, outcomes, examples)
        return [self._told(number, at, outcomes[number]) for number, at in at_rung.items()]

    def _against_the_best(self, number: int, at: AtRung, outcome: Outcome) -> Outcome:
        """What is reported of a rung: where the tuner keeps its best, that takes the place of what
        is worse. The two are compared on the texts that judged both."""
        member = self._members[number]
        best = member.best
        if best is None or isinstance(outcome, Exception):
            member.best = None if isinstance(outcome, Exception) else outcome
            return outcome
        seen = judged_by_fewer(outcome, best.judged, self._scorer, member.examples)
        if isinstance(seen, Exception):
            return seen
        member.waited = 0 if seen.score > best.score else member.waited + 1
        if seen.merit > best.merit:
            member.best = outcome
        elif at.keeps_best:
            return replace(best, rung=at.rung, step=at.step, train_loss=outcome.train_loss)
        return outcome

    def _judged_by_enough(
        self, at_rung: Mapping[int, AtRung], outcomes: Mapping[int, Outcome], examples: Examples
    ) -> dict[int, Outcome]:
        """What fewer texts have judged than should, judged by the others, too: a prompt of an
        earlier rung by this rung's block, and one that its plan ends with by all texts."""
        short: dict[tuple[int, int | None], dict[int, Progress]] = defaultdict(dict)
        for number, at in at_rung.items():
            outcome = outcomes[number]
            if isinstance(outcome, Progress) and outcome.judged is not None:
                ends = self._ends(number, at)
                enough = None if ends else examples.blocks.at(at.rung)
                if outcome.judged != enough:
                    short[outcome.judged, enough][number] = outcome
        mended: dict[int, Outcome] = {}
        for (_, enough), rungs in short.items():
            more: Sequence[Outcome]
            try:
                more = judged_by_more(list(rungs.values()), enough, self._scorer, examples)
            except Exception as error:
                more = [error] * len(rungs)
            mended |= dict(zip(rungs, more, strict=True))
        return mended

    def _ends(self, number: int, at: AtRung) -> bool:
        """Whether a plan has nothing to report after this rung."""
        member = self._members[number]
        impatient = self._patience is not None and member.waited >= self._patience
        return impatient or at.step == member.plan.budget

    def _told(self, number: int, at: AtRung, outcome: Outcome) -> Told:
        if isinstance(outcome, Exception):
            return self._failed(number, outcome)
        member, ended = self._members[number], self._ends(number, at)
        assert member.best is not None
        improved = member.best.step == at.step
        try:
            # With blocks, the latest rung is kept: more texts have judged it.
            if improved or (member.examples.blocks.sizes and not at.keeps_best):
                prompt = named(outcome.prompt, self._scorer.model)
                outcome = replace(outcome, prompt=prompt)
        except Exception as error:
            return self._failed(number, error)
        if improved or at.keeps_best:
            member.best = outcome
        if ended:
            self.drop([number])
        norm = member.graded.norm if member.graded else None
        member.graded = None
        return Told(number, replace(outcome, gradient_norm=norm, ended=ended))

    def _failed(self, number: int, error: Exception) -> Told:
        """What a plan ended in; one that met a broken device is none of them."""
        raise_if_device_broken(error)
        self.drop([number])
        return Told(number, error)
