"""Plans of several wordings on one worker: by turns, and each as it comes out by itself."""

import pytest
import torch

from autoprompt.search_spaces import AnyPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Packs, Progress, tune
from autoprompt.workers.tuners.packs import Seat
from tests.workers.test_pack import HARD, SOFT
from tests.workers.test_tuners import RUNGS

EDITS = HARD.model_copy(update={"searcher": "edits"})
NONE = HARD.model_copy(update={"searcher": "none", "rounds": 1})
PLANS: dict[int, AnyPlan] = {
    0: EDITS.model_copy(update={"template": "{text} In short:", "tokens": 8}),
    1: NONE.model_copy(update={"template": "{text} It was:"}),
    2: SOFT.model_copy(update={"template": "{text} It is:"}),
}


class Seats:
    """A scorer for each template, as a workbench has them."""

    def __init__(self, scorer: Scorer, examples: Examples) -> None:
        self._scorer = scorer
        self._examples = examples
        self._seats: dict[str, Seat] = {}

    def seat(self, plan: AnyPlan, fold: int | None = None) -> Seat:
        if plan.template is None:
            raise BadInputError("no template")
        if plan.template not in self._seats:
            wording = self._scorer.wording.reworded(plan.template, None)
            scorer, examples = self._scorer.reworded(wording), self._examples
            self._seats[plan.template] = Seat(scorer, examples, examples)
        return self._seats[plan.template]


@pytest.fixture
def seats(tiny_scorer: Scorer, examples: Examples) -> Seats:
    return Seats(tiny_scorer, examples)


def test_a_plan_is_told_of_when_others_wordings_have_long_to_go(seats: Seats) -> None:
    packs = Packs(seats.seat, RUNGS)
    packs.add(PLANS, {})
    told = []
    while packs.numbers:
        told.append([each.number for each in packs.advance()])
    assert told == [[0], [1], [2], [0], [2], [0], [2]]


def test_each_comes_out_as_by_itself(seats: Seats) -> None:
    packs = Packs(seats.seat, RUNGS)
    packs.add(PLANS, {})
    packs.advance()
    packs.add({3: PLANS[1], 4: SOFT.model_copy(update={"template": "{text} So:", "seed": 8})}, {})
    found: dict[int, Progress] = {}
    while packs.numbers:
        for number, outcome in packs.advance():
            assert isinstance(outcome, Progress)
            found[number] = outcome
    for number, plan in PLANS.items():
        *_, alone = tune(plan, *seats.seat(plan)[:2], RUNGS)
        assert found[number].prompt.token_ids == alone.prompt.token_ids
        torch.testing.assert_close(found[number].log_probs, alone.log_probs, atol=1e-4, rtol=1e-4)
    assert found[3].prompt.token_ids == found[1].prompt.token_ids
    assert found[4].ended


def test_a_wording_that_does_not_suit_is_told_of_first(seats: Seats) -> None:
    packs = Packs(seats.seat, RUNGS)
    packs.add({5: SOFT, **PLANS}, {})
    [failed] = packs.advance()
    assert failed.number == 5
    assert isinstance(failed.outcome, BadInputError)
    assert [told.number for told in packs.advance()] == [0]
