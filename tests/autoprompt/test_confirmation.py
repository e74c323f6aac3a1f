"""Finalists are trained again with other seeds; the best is named by what those say."""

from pathlib import Path
from typing import Any

import pytest

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.retrain_finalists import confirm
from autoprompt.evaluation.finalists import finalists
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.store import ConfirmationRecord, Store
from tests.autoprompt.test_store import report, search_fields, start
from tests.conftest import write_yaml


def test_the_finalists_are_trained_again_and_the_best_is_named_by_their_means(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config["search"]["trials"] = 4
    tiny_config["confirm"] = {"top": 2, "seeds": 2}
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    result = autoprompt.search(path, quiet=True)
    assert result.state == "finished"
    assert sum(result.counts.values()) == 4, "a repeat counted as a trial"
    store = Store.open(tiny_config["store"])
    repeats = store.confirmations(result.id)
    assert {(each.repeat, each.error) for each in repeats} == {(1, None), (2, None)}
    assert len({each.number for each in repeats}) == 2
    assert len({each.seed for each in repeats}) == 4
    assert not {each.seed for each in repeats} & {trial.plan["seed"] for trial in result.trials}
    first, second = result.finalists
    assert first.mean >= second.mean
    assert result.best.number == first.number == result.record.best
    assert first.mean == pytest.approx(sum(first.scores) / 2)
    shown = result.as_dict()
    assert [each["number"] for each in shown["finalists"]] == [first.number, second.number]
    assert shown["test"]["best"]["number"] == first.number

    # As after a kill: whatever the store has is not carried out again, and the rest is the same.
    lost = repeats[1]
    monkeypatch.setattr(
        Store,
        "confirmations",
        forgetting(Store.confirmations, lost),
    )
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(
        Store, "record_confirmation", lambda self, search, number, **row: kept.append(row)
    )
    progress = SearchProgress(quiet=True)
    prepared = prepare(SearchConfig.read(path), progress)
    with pytest.raises(KeyboardInterrupt, match="1 rep"):
        # Nothing is stored here, so it still misses the one.
        confirm(prepared, store, result.record, InProcessExecutor(1, progress), progress)
    (again,) = kept
    assert (again["repeat"], again["seed"]) == (lost.repeat, lost.seed)
    assert (again["score"], again["loss"]) == pytest.approx((lost.score, lost.loss))


def forgetting(honest: Any, lost: ConfirmationRecord) -> Any:
    """`Store.confirmations` without one of them."""
    return lambda self, search_id: [each for each in honest(self, search_id) if each != lost]


def test_a_repeat_that_failed_is_kept_and_left_out_of_the_mean(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    search = store.create_search(**search_fields())
    for number, score in enumerate((0.9, 0.8, 0.7)):
        start(store, search.id, number)
        report(store, search.id, number, 1, score)
        store.finish_trial(search.id, number, "complete")
    fields = {"seed": 1, "loss": 0.5, "seconds": 1.0, "worker": None}
    for number, scores in ((0, (0.6, 0.8)), (1, (0.75, None)), (2, (None, None))):
        for repeat, score in enumerate(scores, 1):
            error = None if score else "RuntimeError: boom"
            store.record_confirmation(
                search.id, number, repeat=repeat, score=score, error=error, **fields
            )
    found = finalists(store, search.id)
    assert [(each.number, each.scores) for each in found] == [(1, [0.75]), (0, [0.6, 0.8])]
    assert found[1].mean == pytest.approx(0.7)
    assert found[1].spread == pytest.approx(0.1414, abs=1e-4)
    assert (found[0].spread, found[0].search_score) == (0.0, 0.8)
