"""The Optuna study that is rebuilt from the trials table."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.results import SearchResult
from autoprompt.search_spaces import Space
from autoprompt.store import Store
from tests.autoprompt.test_store import search_fields
from tests.reports import report


def rung(number: int, score: float) -> dict[str, Any]:
    return {"rung": number, "step": number, "score": score, "loss": 0.3, "train_loss": 0.5}


@pytest.fixture
def told(space: Space, tmp_path: Path) -> tuple[optuna.Study, SearchResult]:
    """A study that was told of every kind of end, and the same trials in a store."""
    searcher = OptunaSearcher(space, seed=1)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    search = store.create_search(**search_fields())
    scores = {0: [0.6, 0.5, 0.7], 1: [0.4, 0.3], 2: [0.9], 3: [0.2, 0.8, 0.6], 4: [0.5]}
    ends = {0: "complete", 1: "pruned", 2: "failed", 3: "complete"}
    for number, found in scores.items():
        [plan] = searcher.draw(1)
        store.start_trial(
            search.id,
            number,
            kind=plan["plan"]["kind"],
            plan=plan["plan"],
            params=plan["params"],
            distributions={name: json.loads(each) for name, each in plan["distributions"].items()},
        )
        for place, score in enumerate(found, 1):
            end = ends.get(number, "") if place == len(found) else ""
            searcher.reported(report(number, place, score, end))
            prompt = {"digest": "d", "text": "t", "content": b"p", "log_probs": b"l"}
            store.record_rung(search.id, number, rung(place, score) | {"seconds": 2.0}, prompt, {})
        if ends.get(number) == "failed":
            searcher.failed(number)
            store.fail_trial(search.id, number, "NaN")
        elif number in ends:
            store.finish_trial(search.id, number, ends[number])
    return searcher._study, SearchResult(store, store.find("one"))


def essence(trial: FrozenTrial) -> tuple[object, ...]:
    last = None if trial.state == TrialState.FAIL else trial.intermediate_values
    return trial.number, trial.state, trial.values, trial.params, trial.distributions, last


def test_it_is_the_study_that_the_search_told(told: tuple[optuna.Study, SearchResult]) -> None:
    live, result = told
    rebuilt = result.to_optuna()
    assert [essence(trial) for trial in rebuilt.trials] == [essence(each) for each in live.trials]
    states = [trial.state.name for trial in rebuilt.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "RUNNING"]
    assert rebuilt.best_trial.number == result.best.number == 3
    assert rebuilt.best_trial.user_attrs["prompt"] == "t"
    assert all(trial.duration is not None for trial in rebuilt.trials[:4])


def test_it_can_be_written_where_the_dashboard_reads(
    told: tuple[optuna.Study, SearchResult], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    written = told[1].to_optuna(url)
    assert [
        essence(trial) for trial in optuna.load_study(study_name="one", storage=url).trials
    ] == [essence(trial) for trial in written.trials]


def test_scores_of_other_texts_are_not_taken_for_the_best_so_far(
    space: Space, tmp_path: Path
) -> None:
    """Live and from the store: a part's 0.9 is no best of what all texts judged."""
    searcher = OptunaSearcher(space, seed=1)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    search = store.create_search(**search_fields())
    prompt = {"digest": "d", "text": "t", "content": b"p", "log_probs": b"l"}
    ends = {0: [(0.9, 4), (0.8, 8), (0.7, None), (0.6, None)], 1: [(0.7, 4), (0.65, 8)]}
    for number, scores in ends.items():
        [drawn] = searcher.draw(1)
        named = {name: json.loads(each) for name, each in drawn["distributions"].items()}
        kind = drawn["plan"]["kind"]
        plan = {"kind": kind, "plan": drawn["plan"], "params": drawn["params"]}
        store.start_trial(search.id, number, **plan, distributions=named)
        end = ["complete", "pruned"][number]
        for place, (score, judged) in enumerate(scores, 1):
            last = end if place == len(scores) else ""
            searcher.reported(report(number, place, score, last, judged=judged))
            row = rung(place, score) | {"seconds": 2.0, "judged": judged}
            store.record_rung(search.id, number, row, prompt, {})
        store.finish_trial(search.id, number, end)
    complete, pruned = searcher._study.trials
    assert (complete.value, complete.intermediate_values) == (0.7, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.7})
    assert (pruned.value, pruned.intermediate_values) == (0.65, {1: 0.7, 2: 0.65})
    rebuilt = SearchResult(store, store.find("one")).to_optuna().trials
    assert [essence(trial) for trial in rebuilt] == [essence(complete), essence(pruned)]
