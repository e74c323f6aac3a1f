"""Our Optuna searcher and early stopping, asked and told as Ray Tune would."""

from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.search_spaces import Space, plan_from_dict


@pytest.fixture
def searcher(space: Space) -> OptunaSearcher:
    return OptunaSearcher(space, seed=5)


def drawn(searcher: OptunaSearcher, trial_id: str) -> dict[str, Any]:
    """What Tune's trial is to carry out, where that is one of ours."""
    suggestion = searcher.suggest(trial_id)
    assert isinstance(suggestion, dict)
    [found] = suggestion["trials"]
    return found


def rung(trial: int, number: int, score: float, end: str = "") -> dict[str, Any]:
    """A result with one report."""
    report = {"number": trial, "rung": number, "score": score}
    return {"reports": [report | {"ended": end == "complete", "stopped": end == "pruned"}]}


def failure(trial: int) -> dict[str, Any]:
    return {"reports": [{"number": trial, "error": "NaN"}]}


def told(searcher: OptunaSearcher) -> list[TrialState]:
    return [trial.state for trial in searcher._study.trials]


def test_each_kind_is_tried_first(searcher: OptunaSearcher) -> None:
    kinds = [drawn(searcher, str(index))["plan"]["kind"] for index in range(2)]
    assert kinds == ["soft", "hard"]


def test_a_suggestion_carries_all_that_rebuilds_it(searcher: OptunaSearcher) -> None:
    for index in range(8):
        found = drawn(searcher, str(index))
        assert found["number"] == index
        assert plan_from_dict(found["plan"]).kind == found["params"]["kind"]
        assert found["params"].keys() == found["distributions"].keys()


def test_each_trial_is_told_as_what_it_was(searcher: OptunaSearcher) -> None:
    for name in ("done", "stopped", "raised", "died", "stillborn"):
        searcher.suggest(name)
    searcher.on_trial_result("done", rung(0, 1, 0.6))
    searcher.on_trial_result("done", rung(0, 2, 0.9))
    searcher.on_trial_complete("done", rung(0, 3, 0.8, "complete"))
    searcher.on_trial_complete("stopped", rung(1, 1, 0.4, "pruned"))
    searcher.on_trial_result("raised", rung(2, 1, 0.9))
    searcher.on_trial_complete("raised", failure(2))
    searcher.on_trial_complete("died", rung(3, 1, 0.5), error=True)
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


def test_trials_that_share_a_worker_are_asked_for_and_told_of_one_by_one(space: Space) -> None:
    searcher = OptunaSearcher(space, seed=5, budget=5, together=3)
    first, second = searcher.suggest("first"), searcher.suggest("second")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert [each["number"] for each in first["trials"]] == [0, 1, 2]
    assert [each["number"] for each in second["trials"]] == [3, 4]
    assert searcher.suggest("third") == searcher.FINISHED
    orders = [each["plan"]["data_seed"] for each in (*first["trials"], *second["trials"])]
    assert len(set(orders[:3])) == len(set(orders[3:])) == 1
    assert len(set(orders)) == 2
    assert len({each["plan"]["seed"] for each in (*first["trials"], *second["trials"])}) == 5
    [same] = rung(0, 1, 0.6, "complete")["reports"]
    [other] = rung(1, 1, 0.5, "pruned")["reports"]
    searcher.on_trial_result("first", {"reports": [same, other]})
    searcher.on_trial_complete("first", None, error=True)
    assert told(searcher) == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.RUNNING,
        TrialState.RUNNING,
    ]


def test_the_same_seed_asks_for_the_same_plans(space: Space) -> None:
    def plans(seed: int) -> list[Any]:
        searcher = OptunaSearcher(space, seed)
        found = []
        for index in range(15):
            found.append(drawn(searcher, str(index))["plan"])
            searcher.on_trial_complete(str(index), rung(index, 1, index % 4 / 4, "complete"))
        return found

    assert plans(1) == plans(1)
    assert plans(1) != plans(2)


def test_it_learns_which_plans_do_well(space: Space) -> None:
    """A made-up objective that likes long soft prompts: later plans are better than early ones."""
    searcher = OptunaSearcher(space, seed=0)
    scores = []
    for index in range(60):
        plan = drawn(searcher, str(index))["plan"]
        score = plan["length"] / 16 if plan["kind"] == "soft" else 0.0
        searcher.on_trial_complete(str(index), rung(index, 1, score, "complete"))
        scores.append(score)
    assert sum(scores[40:]) / 20 > sum(scores[:10]) / 10 + 0.2


# Early stopping


class Worker:
    """In the place of a worker's handle: which trials it was told to drop."""

    def __init__(self) -> None:
        self.dropped: list[int] = []
        self.drop = SimpleNamespace(remote=self.dropped.extend)


def trial(number: int, *kinds: str) -> Any:
    """One of Tune's trials, that carries out trials from `number` on."""
    trials = [{"number": each, "plan": {"kind": kind}} for each, kind in enumerate(kinds, number)]
    state = SimpleNamespace(ray_actor=Worker())
    return SimpleNamespace(
        trial_id=f"tune {number}", config={"trials": trials}, temporary_state=state
    )


def decision(asha: AshaByKind, one: Any, *results: dict[str, Any]) -> str:
    """What becomes of Tune's trial, on the reports of all these results."""
    reports = [report for result in results for report in result["reports"]]
    return asha.on_trial_result(None, one, {"reports": reports})  # type: ignore[arg-type]


def test_the_lower_half_of_a_kind_is_stopped() -> None:
    asha = AshaByKind(("soft", "hard"), rungs=3, reduction_factor=2)
    trials = [trial(number, "soft") for number in range(4)]
    for one in trials:
        asha.on_trial_add(None, one)  # type: ignore[arg-type]
    decisions = [
        decision(asha, one, rung(number, 1, score))
        for (number, one), score in zip(enumerate(trials), (0.8, 0.6, 0.9, 0.5), strict=True)
    ]
    assert decisions == ["CONTINUE", "STOP", "CONTINUE", "STOP"]


def test_each_trial_on_a_shared_worker_is_judged_by_itself() -> None:
    asha = AshaByKind(("soft", "hard"), rungs=3, reduction_factor=2)
    one = trial(0, "soft", "soft", "hard")
    asha.on_trial_add(None, one)  # type: ignore[arg-type]
    worker = one.temporary_state.ray_actor
    first, second = rung(0, 1, 0.8), rung(1, 1, 0.6)
    assert decision(asha, one, first, second, rung(2, 1, 0.1)) == "CONTINUE"
    assert [each["reports"][0]["stopped"] for each in (first, second)] == [False, True]
    assert worker.dropped == [1]
    assert [each["number"] for each in one.config["trials"]] == [0, 2]
    assert decision(asha, one, failure(2)) == "CONTINUE"
    assert worker.dropped == [1, 2]
    assert decision(asha, one, rung(0, 3, 0.9, "complete")) == "STOP"
    asha.on_trial_complete(None, one, {})  # type: ignore[arg-type]


def test_a_kind_is_never_stopped_by_the_other() -> None:
    asha = AshaByKind(("soft", "hard"), rungs=3, reduction_factor=2)
    for one, score in ((trial(0, "hard"), 0.9), (trial(1, "soft"), 0.1)):
        asha.on_trial_add(None, one)  # type: ignore[arg-type]
        number = one.config["trials"][0]["number"]
        assert decision(asha, one, rung(number, 1, score)) == "CONTINUE"


def test_what_ended_by_itself_is_not_stopped() -> None:
    asha = AshaByKind(("soft",), rungs=1, reduction_factor=2)
    for number, score in enumerate((0.9, 0.1)):
        one = trial(number, "soft")
        asha.on_trial_add(None, one)  # type: ignore[arg-type]
        last = rung(number, 1, score, "complete")
        assert decision(asha, one, last) == "STOP"
        assert last["reports"][0]["stopped"] is False


def test_a_trial_that_begins_again_climbs_on() -> None:
    asha = AshaByKind(("soft",), rungs=3, reduction_factor=2)
    one = trial(0, "soft")
    asha.on_trial_add(None, one)  # type: ignore[arg-type]
    assert decision(asha, one, rung(0, 1, 0.9)) == "CONTINUE"
    assert decision(asha, one, rung(0, 1, 0.9)) == "CONTINUE"
    asha.on_trial_error(None, one)  # type: ignore[arg-type]
    asha.on_trial_remove(None, one)  # type: ignore[arg-type]
