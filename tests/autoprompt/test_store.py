"""What the store promises, on each database: what is written is there once, what is wrong is
refused, nothing is half-written."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from autoprompt.search_spaces.errors import (
    BadInputError,
    SearchNotFoundError,
    SearchTakenError,
    StoreError,
)
from autoprompt.store import Store, reading


@pytest.fixture
def store(db: str) -> Iterator[Store]:
    store = Store.open(db)
    yield store
    store.close()


def search_fields(name: str = "one", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "model": "m",
        "metric": "accuracy",
        "seed": 0,
        "config": {"space": {}},
        "versions": {"torch": "2"},
        "data": {"train": 4},
        "validation_labels": [0, 1],
        "ensemble": None,
    } | changes


def start(store: Store, search_id: int, number: int) -> None:
    store.start_trial(
        search_id, number, kind="soft", plan={"kind": "soft"}, params={"a": 1}, distributions={}
    )


def report(
    store: Store,
    search_id: int,
    number: int,
    rung: int,
    score: float,
    digest: str = "d",
    text: str | None = None,
    content: bytes = b"p",
    judged: int | None = None,
) -> None:
    store.record_rung(
        search_id,
        number,
        {"rung": rung, "step": rung, "score": score, "loss": 1 - score, "train_loss": 0.5}
        | {"seconds": 2.0}
        | ({} if judged is None else {"judged": judged, "log_probs": b"part"}),
        {"digest": digest, "text": text or f"at {rung}", "content": content, "log_probs": b"l"},
        {"worker": "host:1", "models_loaded": 1, "texts_encoded": 5},
    )


def test_a_trial_keeps_every_rung_and_the_prompt_of_the_best(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    for rung, score in ((1, 0.6), (2, 0.8), (3, 0.7)):
        report(store, search.id, 0, rung, score)
    store.finish_trial(search.id, 0, "complete")
    (trial,) = store.trials(search.id)
    assert [(rung.rung, rung.score) for rung in trial.rungs] == [(1, 0.6), (2, 0.8), (3, 0.7)]
    assert (trial.score, trial.prompt, trial.state) == (0.8, "at 2", "complete")
    assert (trial.seconds, trial.models_loaded, trial.texts_encoded) == (6.0, 3, 15)
    assert store.best_score(search.id) == 0.8
    assert store.counts(search.id) == {
        "running": 0, "complete": 1, "pruned": 0, "failed": 0, "stopped": 0,
    }  # fmt: skip


def test_an_older_search_goes_on_judged_by_all_texts(store: Store) -> None:
    old = store.create_search(**search_fields("old", config={"search": {"trials": 2}}))
    new = store.create_search(**search_fields("new", config={"search": {"judging": "auto"}}))
    assert store.find(str(old.id)).config["search"] == {"judging": "all", "trials": 2}
    assert store.find(str(new.id)).config["search"] == {"judging": "auto"}


def test_a_part_of_the_texts_gives_no_score(store: Store) -> None:
    """The latest prompt is kept until all of them judge one; then the best that they judged."""
    search = store.create_search(**search_fields())
    for number in range(3):
        start(store, search.id, number)
    report(store, search.id, 0, 1, 0.9, judged=10)
    report(store, search.id, 0, 2, 0.8, judged=20)
    (trial, *_) = store.trials(search.id)
    assert (trial.score, trial.loss, trial.prompt) == (None, None, "at 2")
    assert [rung.judged for rung in trial.rungs] == [10, 20]
    assert store.leaderboard(search.id) == []
    assert store.prompts(search.id) == []
    assert store.best_score(search.id) is None
    assert store.summaries()[0].best_score is None
    report(store, search.id, 0, 3, 0.7)
    report(store, search.id, 0, 4, 0.6)
    assert [(one.score, one.prompt) for one in store.leaderboard(search.id)] == [(0.7, "at 3")]
    assert store.block_log_probs(search.id) == {(0, 1): b"part", (0, 2): b"part"}

    report(store, search.id, 1, 1, 0.95, judged=10)
    report(store, search.id, 2, 1, 0.5, judged=20)
    assert store.unranked_prompts(search.id, 9) == [], "they have not ended"
    for number in range(3):
        store.finish_trial(search.id, number, "pruned")
    unranked = store.unranked_prompts(search.id, 9)
    assert [(one.number, one.score) for one in unranked] == [(2, 0.5), (1, 0.95)]
    store.rank_trial(search.id, 2, 0.65, 0.4, b"all")
    assert [one.number for one in store.leaderboard(search.id)] == [0, 2]
    assert store.prompts(search.id, [2])[0].log_probs == b"all"


def test_the_same_rung_is_not_counted_twice(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    report(store, search.id, 0, 1, 0.9)
    (trial,) = store.trials(search.id)
    assert (trial.score, trial.seconds, len(trial.rungs)) == (0.6, 2.0, 1)
    start(store, search.id, 0)
    assert len(store.trials(search.id)) == 1
    with pytest.raises(StoreError, match="another plan"):
        store.start_trial(
            search.id, 0, kind="soft", plan={"kind": "hard"}, params={}, distributions={}
        )


def test_prompts_come_best_first_and_failed_trials_bring_none(store: Store) -> None:
    search = store.create_search(**search_fields())
    for number, score in enumerate((0.6, 0.9, 0.9, 0.7)):
        start(store, search.id, number)
        report(store, search.id, number, 1, score, digest=f"d{number}")
        store.finish_trial(search.id, number, "complete")
    store.fail_trial(search.id, 1, "boom", "trace")
    assert [prompt.number for prompt in store.prompts(search.id)] == [2, 3, 0]
    assert [prompt.number for prompt in store.prompts(search.id, limit=1)] == [2]
    assert [prompt.number for prompt in store.prompts(search.id, [0, 3])] == [3, 0]


def test_finishing_a_search_leaves_no_trial_running(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_search(search.id, "stopped", "Ctrl-C")
    (trial,) = store.trials(search.id)
    assert (trial.state, trial.note) == ("stopped", "the search stopped first")
    assert [prompt.number for prompt in store.prompts(search.id)] == [0], "its rung is lost"
    assert store.find("latest").error == "Ctrl-C"


def test_a_trial_that_begins_again_keeps_its_rungs(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_search(search.id, "stopped")
    store.restart_trial(search.id, 0, "resumed")
    (trial,) = store.trials(search.id)
    assert (trial.state, trial.attempts, trial.note) == ("running", 2, "resumed")
    assert len(trial.rungs) == 1
    assert trial.finished_at is None


def test_a_search_has_one_controller(store: Store) -> None:
    search = store.create_search(**search_fields())
    other = Store(store.database)
    assert store.claim_search(search.id, "a:1", search.heartbeat_at)
    seen = store.find("latest").heartbeat_at
    assert seen is not None
    assert not other.claim_search(search.id, "b:2", None), "it gave a sign of life since"
    assert store.beat(search.id)
    assert not other.claim_search(search.id, "b:2", seen)
    assert other.claim_search(search.id, "b:2", store.find("latest").heartbeat_at)
    start(other, search.id, 0)
    assert not store.beat(search.id)
    for write in (
        lambda: start(store, search.id, 1),
        lambda: report(store, search.id, 0, 1, 0.5),
        lambda: store.finish_search(search.id, "stopped"),
    ):
        with pytest.raises(SearchTakenError, match="taken over"):
            write()
    assert store.find("latest").state == "running"
    (trial,) = store.trials(search.id)
    assert (trial.state, trial.rungs) == ("running", [])


def test_every_opening_of_held_out_texts_is_kept(store: Store) -> None:
    one = store.create_search(**search_fields("one"))
    two = store.create_search(**search_fields("two"))
    opening = {"source": "test", "purpose": "search", "opened_by": "me@here"}
    first = store.open_evaluation(one.id, fingerprint="abc", **opening)
    assert [each.result for each in store.evaluations(one.id)] == [None]
    store.record_evaluation(one.id, first, {"texts": 3})
    store.open_evaluation(one.id, fingerprint="abc", **opening)
    store.open_evaluation(two.id, fingerprint="abc", **opening | {"source": "a.csv"})
    store.open_evaluation(two.id, fingerprint="xyz", **opening)
    assert [each.result for each in store.evaluations(one.id)] == [{"texts": 3}, None]
    same = store.evaluations(fingerprint="abc")
    assert [(each.search, each.source) for each in same] == [
        ("one", "test"),
        ("one", "test"),
        ("two", "a.csv"),
    ]
    assert same[0].opened_by == "me@here"


def test_a_finalists_repeats_are_no_trials(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_trial(search.id, 0, "complete")
    fields = {"seed": 5, "loss": 0.5, "seconds": 1.0, "worker": "w", "error": None}
    store.record_confirmation(search.id, 0, repeat=2, score=0.9, **fields)
    store.record_confirmation(search.id, 0, repeat=1, score=0.5, **fields)
    found = store.confirmations(search.id)
    assert [(each.number, each.repeat, each.score) for each in found] == [(0, 1, 0.5), (0, 2, 0.9)]
    assert sum(store.counts(search.id).values()) == 1
    assert store.best_score(search.id) == 0.6
    store.record_confirmation(search.id, 0, repeat=2, score=0.9, **fields)
    assert len(store.confirmations(search.id)) == 2


def test_a_search_is_found_by_id_name_and_latest(store: Store) -> None:
    first = store.create_search(**search_fields("one"))
    second = store.create_search(**search_fields("two"))
    assert store.find("one") == store.find(str(first.id)) == first
    assert store.find("latest") == second
    assert [search.name for search in store.searches()] == ["two", "one"]
    with pytest.raises(SearchNotFoundError, match="no search 'nine'"):
        store.find("nine")
    with pytest.raises(BadInputError, match="'one' exists"):
        store.create_search(**search_fields("one"))
    for wanted, got in (("one", "one-2"), ("one", "one-3"), ("three", "three")):
        assert store.create_search(**search_fields(wanted), numbered=True).name == got


@pytest.mark.parametrize("text", ["a\0b", "half a pair: \ud83d", "\x1b[31m", "a" * 100_000])
def test_any_text_a_model_or_a_traceback_holds_is_stored(store: Store, text: str) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.5, text=text)
    store.fail_trial(search.id, 0, text, text)
    (trial,) = store.trials(search.id)
    readable = text.replace("\0", "\ufffd").replace("\ud83d", "?")
    assert (trial.prompt, trial.error, trial.traceback) == (readable,) * 3
    with pytest.raises(SearchNotFoundError):
        store.find(text)


def test_numbers_as_large_as_they_come(store: Store) -> None:
    search = store.create_search(**search_fields(seed=2**32 - 1))
    assert store.find("latest").seed == 2**32 - 1
    assert store.find(str(search.id)) == search
    with pytest.raises(SearchNotFoundError):
        store.find("9" * 30)


def test_moments_are_in_utc(store: Store) -> None:
    search = store.create_search(**search_fields())
    assert search.started_at.utcoffset() == timedelta(0)
    assert store.find("latest") == search


def test_trials_are_read_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 3)
    search = store.create_search(**search_fields())
    for number in range(7):
        start(store, search.id, number)
    assert [trial.number for trial in store.trials(search.id)] == list(range(7))
    assert [trial.number for trial in store.newest_trials(search.id, 3)] == [4, 5, 6]


def test_a_list_of_searches_counts_each_ones_trials(store: Store) -> None:
    for name, scores in (("one", (0.6, 0.9, 0.8)), ("none", ())):
        search = store.create_search(**search_fields(name))
        for number, score in enumerate(scores):
            start(store, search.id, number)
            report(store, search.id, number, 1, score)
        if scores:
            store.fail_trial(search.id, 1, "boom")
    none, one = store.summaries()
    assert (none.search.name, none.best_score, sum(none.counts.values())) == ("none", None, 0)
    assert (one.search.name, one.best_score) == ("one", 0.8)
    assert one.counts == store.counts(one.search.id)
    assert one.best_score == store.best_score(one.search.id)


def test_a_write_whose_answer_was_lost_is_there_once(store: Store) -> None:
    """Every write, done again as after an outage that hid its success."""
    lose_the_answer(store)
    search = store.create_search(**search_fields())
    assert search.name == "one"
    assert store.claim_search(search.id, "a:1", None)
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_search(search.id, "stopped")
    store.restart_trial(search.id, 0, "resumed")
    report(store, search.id, 0, 2, 0.7)
    store.finish_trial(search.id, 0, "complete")
    start(store, search.id, 1)
    store.fail_trial(search.id, 1, "boom", seconds=2.0, work={"texts_encoded": 5})
    opening = store.open_evaluation(search.id, source="test")
    store.record_evaluation(search.id, opening, {"texts": 3})
    fields = {"score": 0.5, "loss": 0.5, "seconds": 1.0, "seed": 2**31}
    store.record_confirmation(search.id, 0, repeat=1, **fields)
    store.finish_search(search.id, "finished")

    assert len(store.searches()) == 1
    assert len(store.evaluations(search.id)) == len(store.confirmations(search.id)) == 1
    good, bad = store.trials(search.id)
    assert (good.seconds, good.texts_encoded, good.attempts, good.state) == (4.0, 10, 2, "complete")
    assert [rung.rung for rung in good.rungs] == [1, 2]
    assert (bad.seconds, bad.texts_encoded, bad.error) == (2.0, 5, "boom")


def lose_the_answer(store: Store) -> None:
    """From now on, every transaction is carried out twice."""
    run = store.database.run

    def twice(work: Any, *, writes: bool) -> Any:
        run(work, writes=writes)
        return run(work, writes=writes)

    store.database.run = twice  # type: ignore[method-assign]
