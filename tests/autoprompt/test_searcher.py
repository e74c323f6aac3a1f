"""Our Optuna searcher and early stopping, asked and told as a dispatch does."""

from typing import Any

import pytest
from optuna.trial import TrialState

from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.stopping_rule import Ladder
from autoprompt.search_spaces import Space, plan_from_dict
from tests.reports import report


@pytest.fixture
def searcher(space: Space) -> OptunaSearcher:
    return OptunaSearcher(space, seed=5)


def drawn(searcher: OptunaSearcher) -> dict[str, Any]:
    """The next trial, where a draw has one."""
    [trial] = searcher.draw(1)
    return trial


def states(searcher: OptunaSearcher) -> list[TrialState]:
    return [trial.state for trial in searcher._study.trials]


def test_each_kind_is_tried_first(searcher: OptunaSearcher) -> None:
    kinds = [drawn(searcher)["plan"]["kind"] for _ in range(2)]
    assert kinds == ["soft", "hard"]


def test_a_draw_carries_all_that_rebuilds_it(searcher: OptunaSearcher) -> None:
    for number in range(8):
        trial = drawn(searcher)
        assert trial["number"] == number
        assert plan_from_dict(trial["plan"]).kind == trial["params"]["kind"]
        assert trial["params"].keys() == trial["distributions"].keys()


def test_each_trial_is_told_as_what_it_was(searcher: OptunaSearcher) -> None:
    for _ in range(4):
        searcher.draw(1)
    searcher.reported(report(0, 1, 0.6))
    searcher.reported(report(0, 2, 0.9))
    searcher.reported(report(0, 3, 0.8, "complete"))
    searcher.reported(report(1, 1, 0.4, "pruned"))
    searcher.reported(report(2, 1, 0.9))
    searcher.failed(2)
    searcher.failed(3)
    assert states(searcher) == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    trials = searcher._study.trials
    assert trials[0].value == 0.9
    assert trials[0].intermediate_values == {1: 0.6, 2: 0.9, 3: 0.9}
    assert trials[1].value == 0.4


def test_trials_that_share_a_worker_are_drawn_together(space: Space) -> None:
    searcher = OptunaSearcher(space, seed=5, budget=5, together=3)
    first, second = searcher.draw(3), searcher.draw(3)
    assert [trial["number"] for trial in first] == [0, 1, 2]
    assert [trial["number"] for trial in second] == [3, 4]
    assert searcher.draw(3) == []
    orders = [trial["plan"]["data_seed"] for trial in (*first, *second)]
    assert len(set(orders[:3])) == len(set(orders[3:])) == 1
    assert len(set(orders)) == 2
    assert len({trial["plan"]["seed"] for trial in (*first, *second)}) == 5


def test_the_same_seed_asks_for_the_same_plans(space: Space) -> None:
    def plans(seed: int) -> list[Any]:
        searcher = OptunaSearcher(space, seed)
        asked = []
        for number in range(15):
            asked.append(drawn(searcher)["plan"])
            searcher.reported(report(number, 1, number % 4 / 4, "complete"))
        return asked

    assert plans(1) == plans(1)
    assert plans(1) != plans(2)


def test_it_learns_which_plans_do_well(space: Space) -> None:
    """A made-up objective that likes long soft prompts: later plans are better than early ones."""
    searcher = OptunaSearcher(space, seed=0)
    scores = []
    for number in range(60):
        plan = drawn(searcher)["plan"]
        score = plan["length"] / 16 if plan["kind"] == "soft" else 0.0
        searcher.reported(report(number, 1, score, "complete"))
        scores.append(score)
    assert sum(scores[40:]) / 20 > sum(scores[:10]) / 10 + 0.2


# Early stopping


def climbing(*kinds: str, rungs: int = 3) -> AshaByKind:
    """Ladders that one trial of each of these kinds has entered, in the order of their numbers."""
    asha = AshaByKind(Ladder(tuple(sorted(set(kinds))), rungs, 2))
    for number, kind in enumerate(kinds):
        asha.enter(number, kind)
    return asha


def test_the_lower_half_of_a_kind_is_stopped() -> None:
    asha = climbing("soft", "soft", "soft", "soft")
    stopped = [asha.stops(number, 1, score) for number, score in enumerate((0.8, 0.6, 0.9, 0.5))]
    assert stopped == [False, True, False, True]


def test_a_kind_is_never_stopped_by_the_other() -> None:
    asha = climbing("hard", "soft")
    assert not asha.stops(0, 1, 0.9)
    assert not asha.stops(1, 1, 0.1)


def test_a_trial_that_begins_again_climbs_on() -> None:
    asha = climbing("soft")
    assert not asha.stops(0, 1, 0.9)
    asha.enter(0, "soft")
    assert not asha.stops(0, 1, 0.9)
    asha.leave(0)
    asha.leave(0)
