"""Demonstrations as what is searched: a set of labelled train texts, and their order.

Which examples are shown, and in which order, moves few-shot accuracy by tens of points (Zhao et al.
2021; Lu et al. 2022), and no gradient says how. A candidate has one of them replaced by another of
its label, or two that changed places. They stand before everything, as words of the prompt, and are
drawn from a part of the train texts that no race goes over.
"""

from collections import defaultdict

from torch import Tensor

from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.question import ids_of
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.searchers.searcher import Place, Searcher

#: How many are shown where the plan names no number.
COUNT = 4

#: The part of the train texts that they are drawn from.
_POOL = 0.25

_BETWEEN = "\n\n"


class Demonstrations(Searcher):
    """A sequence of labelled texts."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        train = place.examples.train
        count = max(2, round(len(train) * _POOL))
        self.reserved = set(place.order[-count:])
        by_label: dict[str, list[int]] = defaultdict(list)
        answers = place.scorer.task.answers
        for number in sorted(self.reserved):
            by_label[place.examples.said(number, answers)].append(number)
        self._by_label = by_label
        #: The demonstrations of each prompt, by its tokens.
        self._shown: dict[TokenIds, tuple[int, ...]] = {}
        labels = sorted(by_label)
        first: list[int] = []
        for turn in range(place.plan.demonstrations or COUNT):
            own = [each for each in by_label[labels[turn % len(labels)]] if each not in first]
            first += own[place.drawn(len(own)) :][:1] if own else []
        found = place.reading_back([self._ids(tuple(first))], 1)
        if not found:
            raise AutopromptError(
                "demonstrations do not read back before this template: ask them as part of it "
                "(space.demonstrations) instead"
            )
        self.start = found[0]

    def propose(self, best: TokenIds, gradient: Tensor | None, part: float) -> list[TokenIds]:
        count = self.place.plan.candidates
        found = [self._ids(self._changed(self._shown[best])) for _ in range(2 * count)]
        return self.place.reading_back([ids for ids in found if ids != best], count)

    def _changed(self, shown: tuple[int, ...]) -> tuple[int, ...]:
        drawn, changed = self.place.drawn, list(shown)
        one = drawn(len(shown))
        if len(shown) > 1 and drawn(2):
            other = drawn(len(shown))
            changed[one], changed[other] = shown[other], shown[one]
            return tuple(changed)
        label = self.place.examples.said(shown[one], self.place.scorer.task.answers)
        others = [number for number in self._by_label[label] if number not in shown]
        if others:
            changed[one] = others[drawn(len(others))]
        return tuple(changed)

    def _ids(self, shown: tuple[int, ...]) -> TokenIds:
        written = "".join(map(self._written, shown))
        ids = ids_of(written, self.place.scorer.model.tokenizer)
        self._shown.setdefault(ids, shown)
        return ids

    def _written(self, number: int) -> str:
        """A labelled text in the template, with its answer."""
        place = self.place
        question, tokenizer = place.scorer.task.question, place.scorer.model.tokenizer
        text = place.examples.train[number][len(question.begin_ids) :]
        filled, answers = str(tokenizer.decode(text)), place.scorer.task.answers
        answer = place.examples.said(number, answers)
        return question.template.answered(filled, answer, question.token) + _BETWEEN
