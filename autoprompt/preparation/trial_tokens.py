"""How many tokens a trial pushes through the model, known before any trial."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from autoprompt.search_spaces import AnyPlan, HardPlan, MixedPlan, Space
from autoprompt.search_spaces.dimensions import values_of
from autoprompt.search_spaces.kind_spaces import (
    HardSpace,
    KVSpace,
    MixedSpace,
    SoftSpace,
    position_of,
)
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.model_config import Family
from autoprompt.workers.prompt_tokens import tokens_before
from autoprompt.workers.task import Task
from autoprompt.workers.tuners.racing import BLOCKS_OF_A_ROUND


@dataclass(frozen=True)
class TextTokens:
    """A search's texts as its model reads them, and what stands behind each.

    Attributes:
        train, validation: [B] each, how many tokens the texts have.
        family: the model's.
        fitting: tokens of the longest text whose states may be kept, by the model's window.
        reusable: where a prompt may stand and leave a text's states as they are.
        tail: tokens of the template behind a text, with the tokenizer's own.
        asked: tokens that the answers have read: the model is asked behind each.
        start: that a decoder reads before it answers; 0 where there is none.
        before: tokens of the template before a text, and between its columns, which are among its
            own.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    family: Family
    fitting: int
    reusable: frozenset[Position]
    tail: int
    asked: int
    start: int = 0
    before: int = 0

    @classmethod
    def of(
        cls,
        train: Sequence[int],
        validation: Sequence[int],
        family: Family,
        fitting: int,
        reusable: frozenset[Position],
        task: Task,
    ) -> "TextTokens":
        """The texts of these lengths before a task's template."""
        question = task.question
        start = 1 + len(question.answer_ids) if family == "seq2seq" else 0
        tail = len(question.tail_ids) + len(question.end_ids)
        asked = len(task.readout.branches)
        return cls(
            tuple(train),
            tuple(validation),
            family,
            fitting,
            reusable,
            tail,
            asked,
            start,
            tokens_before(question),
        )

    @property
    def own(self) -> float:
        """Tokens of a validation text's own, on the mean."""
        return _mean(self.validation) - self.before

    def behind(self, kind: str, position: Position, length: int) -> int:
        """What a prompt of P tokens, or rows, pushes through the model beside each text whose
        states are kept."""
        own = 0 if kind == "kv" else length
        if position == "end":
            return self.asked + (1 if kind == "kv" else length)
        if position == "decoder":
            return self.start + own + self.asked
        return self.tail + self.asked + own

    def beside(self, kind: str, position: Position, length: int, text: float) -> float:
        """The same beside a text of so many tokens, whichever may be kept of it."""
        if position in self.reusable:
            return self.behind(kind, position, length)
        own = 0 if kind == "kv" else length
        return text + self.tail + own + self.start + self.asked


@dataclass(frozen=True)
class TrialTokens:
    """What trials of one kind push through the model, least and most.

    Attributes:
        step: by a step of training, or a round of swaps.
        judging: by all validation texts judging a prompt.
    """

    step: tuple[int, int]
    judging: tuple[int, int]


def trial_tokens(
    space: Space, texts: TextTokens, anew_in_train: int = 0, anew_in_validation: int = 0
) -> dict[str, TrialTokens]:
    """For each kind of a space.

    Args:
        anew_in_train, anew_in_validation: tokens of the texts that are computed each time.
    """
    mean = _mean(texts.train)
    found = {}
    for kind, part in zip(space.kinds, space.parts, strict=True):
        steps, judgings = [], []
        for position, length, batch, swaps in _shapes(part):
            reuses = position in texts.reusable
            anew = anew_in_train / len(texts.train) if reuses else 0.0
            steps.append(batch * anew + _step(kind, (position, length, batch, swaps), texts, mean))
            judged = texts.beside(kind, position, length, _mean(texts.validation))
            anew_judged = anew_in_validation if reuses else 0
            judgings.append(len(texts.validation) * judged + anew_judged)
        found[kind] = TrialTokens(_ends(steps), _ends(judgings))
    return found


class PlanTokens(NamedTuple):
    """What a plan pushes through the model where the texts' states are there.

    Attributes:
        step: by a step of training, or on the mean by a round, whose races grow.
        judging: for each validation text that judges its prompt.
    """

    step: float
    judging: float


def plan_tokens(plan: AnyPlan, texts: TextTokens) -> PlanTokens:
    """By the means of the texts' lengths."""
    place: Position = "suffix"
    length, swaps = 0, 0.0
    if isinstance(plan, HardPlan):
        if plan.searcher != "none":
            length, swaps = plan.tokens, plan.candidates * _mean(BLOCKS_OF_A_ROUND)
            place = plan.position
    elif isinstance(plan, MixedPlan):
        length, swaps = plan.length + plan.tokens, (plan.candidates + 1) / plan.swap_every
        place = position_of(plan.layout)
    else:
        length, place = plan.length, plan.position
    step = _step(plan.kind, (place, length, plan.batch_size, swaps), texts, _mean(texts.train))
    return PlanTokens(step, texts.beside(plan.kind, place, length, _mean(texts.validation)))


def _step(
    kind: str, shape: tuple[Position, int, int, float], texts: TextTokens, mean: float
) -> float:
    """For its gradient, and for each prompt that is tried on as many texts besides.

    Args:
        mean: tokens of a text.
    """
    position, length, batch, swaps = shape
    return batch * texts.beside(kind, position, length, mean) * (1 + swaps)


def _shapes(
    part: SoftSpace | HardSpace | MixedSpace | KVSpace,
) -> Iterator[tuple[Position, int, int, float]]:
    """Position, length, batch size and prompts tried a step, at the ends of each dimension: those
    of a round of words as often as there are blocks in its race."""
    batches = values_of(part.batch_size)
    if isinstance(part, HardSpace):
        searchers = set(values_of(part.searcher))
        if "none" in searchers:
            yield from (("suffix", 0, batch, 0.0) for batch in batches)
        dimensions = (part.position, part.tokens, part.candidates)
        for position, length, tried in product(*map(values_of, dimensions)):
            if searchers != {"none"}:
                for blocks in BLOCKS_OF_A_ROUND:
                    yield from (
                        (position, length, batch, float(tried * blocks)) for batch in batches
                    )
    elif isinstance(part, MixedSpace):
        mixed = (part.layout, part.length, part.tokens, part.candidates, part.swap_every)
        for layout, length, tokens, tried, every in product(*map(values_of, mixed)):
            place, swaps = position_of(layout), (tried + 1) / every
            yield from ((place, length + tokens, batch, swaps) for batch in batches)
    else:
        for position, length in product(*map(values_of, (part.position, part.length))):
            yield from ((position, length, batch, 0.0) for batch in batches)


def _mean(lengths: Sequence[int]) -> float:
    return sum(lengths) / max(len(lengths), 1)


def _ends(values: Sequence[float]) -> tuple[int, int]:
    return round(min(values)), round(max(values))
