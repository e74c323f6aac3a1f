"""Our Optuna searcher and early stopping, asked and told as Ray Tune would."""

from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from autoprompt.early_stopping import AshaByKind
from autoprompt.searcher import OptunaSearcher
from search_spaces import Space, plan_from_dict


@pytest.fixture
def searcher(space: Space) -> OptunaSearcher:
    return OptunaSearcher(space, seed=5)


def told(searcher: OptunaSearcher) -> list[TrialState]:
    return [trial.state for trial in searcher._study.trials]


def test_each_kind_is_tried_first(searcher: OptunaSearcher) -> None:
    kinds = [searcher.suggest(str(index))["plan"]["kind"] for index in range(2)]
    assert kinds == ["soft", "hard"]


def test_a_suggestion_carries_all_that_rebuilds_it(searcher: OptunaSearcher) -> None:
    for index in range(8):
        suggestion = searcher.suggest(str(index))
        assert suggestion["number"] == index
        assert plan_from_dict(suggestion["plan"]).kind == suggestion["params"]["kind"]
        assert suggestion["params"].keys() == suggestion["distributions"].keys()


def test_each_trial_is_told_as_what_it_was(searcher: OptunaSearcher) -> None:
    for name in ("done", "stopped", "raised", "died", "stillborn"):
        searcher.suggest(name)
    searcher.on_trial_result("done", {"rung": 1, "score": 0.6})
    searcher.on_trial_result("done", {"rung": 2, "score": 0.9})
    searcher.on_trial_complete("done", {"rung": 3, "score": 0.8, "ended": True})
    searcher.on_trial_complete("stopped", {"rung": 1, "score": 0.4, "ended": False})
    searcher.on_trial_result("raised", {"rung": 1, "score": 0.9})
    searcher.on_trial_complete("raised", {"error": "NaN", "done": True})
    searcher.on_trial_complete("died", {"rung": 1, "score": 0.5}, error=True)
    searcher.on_trial_complete("stillborn", None)
    assert told(searcher) == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    trials = searcher._study.trials
    assert trials[0].value == 0.9
    assert trials[0].intermediate_values == {1: 0.6, 2: 0.9, 3: 0.9}
    assert trials[1].value == 0.4


def test_the_same_seed_asks_for_the_same_plans(space: Space) -> None:
    def plans(seed: int) -> list[Any]:
        searcher = OptunaSearcher(space, seed)
        found = []
        for index in range(15):
            found.append(searcher.suggest(str(index))["plan"])
            result = {"rung": 1, "score": index % 4 / 4, "ended": True}
            searcher.on_trial_complete(str(index), result)
        return found

    assert plans(1) == plans(1)
    assert plans(1) != plans(2)


def test_it_learns_which_plans_do_well(space: Space) -> None:
    """A made-up objective that likes long soft prompts: later plans are better than early ones."""
    searcher = OptunaSearcher(space, seed=0)
    scores = []
    for index in range(60):
        plan = searcher.suggest(str(index))["plan"]
        score = plan["length"] / 16 if plan["kind"] == "soft" else 0.0
        searcher.on_trial_complete(str(index), {"rung": 1, "score": score, "ended": True})
        scores.append(score)
    assert sum(scores[40:]) / 20 > sum(scores[:10]) / 10 + 0.2


# Early stopping


def trial(number: int, kind: str) -> Any:
    return SimpleNamespace(trial_id=str(number), config={"plan": {"kind": kind}})


def reports(asha: AshaByKind, one: Any, rung: int, score: float) -> str:
    result = {"rung": rung, "score": score, "ended": rung == 3}
    decision = asha.on_trial_result(None, one, result)  # type: ignore[arg-type]
    if decision == TrialScheduler.STOP or rung == 3:
        asha.on_trial_complete(None, one, result)  # type: ignore[arg-type]
    return decision


def test_the_lower_half_of_a_kind_is_stopped() -> None:
    asha = AshaByKind(("soft", "hard"), rungs=3, reduction_factor=2)
    trials = [trial(number, "soft") for number in range(4)]
    for one in trials:
        asha.on_trial_add(None, one)  # type: ignore[arg-type]
    decisions = [
        reports(asha, one, 1, score)
        for one, score in zip(trials, (0.8, 0.6, 0.9, 0.5), strict=True)
    ]
    assert decisions == ["CONTINUE", "STOP", "CONTINUE", "STOP"]


def test_a_kind_is_never_stopped_by_the_other() -> None:
    asha = AshaByKind(("soft", "hard"), rungs=3, reduction_factor=2)
    hard, soft = trial(0, "hard"), trial(1, "soft")
    for one, score in ((hard, 0.9), (soft, 0.1)):
        asha.on_trial_add(None, one)  # type: ignore[arg-type]
        assert reports(asha, one, 1, score) == "CONTINUE"


def test_the_last_rung_and_an_error_stop_nothing() -> None:
    asha = AshaByKind(("soft",), rungs=1, reduction_factor=2)
    for number, score in enumerate((0.9, 0.1)):
        one = trial(number, "soft")
        asha.on_trial_add(None, one)  # type: ignore[arg-type]
        result = {"rung": 1, "score": score, "ended": True}
        assert asha.on_trial_result(None, one, result) == "CONTINUE"  # type: ignore[arg-type]
        asha.on_trial_complete(None, one, result)  # type: ignore[arg-type]
    failed = trial(2, "soft")
    asha.on_trial_add(None, failed)  # type: ignore[arg-type]
    assert asha.on_trial_result(None, failed, {"error": "x"}) == "CONTINUE"  # type: ignore[arg-type]
    asha.on_trial_complete(None, failed, {"error": "x"})  # type: ignore[arg-type]
