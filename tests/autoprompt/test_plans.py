"""What the command line asks is read from an index, whatever else the store holds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from autoprompt.store import Store
from benchmarks.big_store import fill

#: Enough that PostgreSQL finds an index worth its while.
TRIALS = 20_000


@pytest.fixture
def filled(db: str) -> Iterator[tuple[Store, int]]:
    store = Store.open(db)
    largest = fill(store, TRIALS)
    yield store, largest
    store.close()


def plans(store: Store, ask: Callable[[], object]) -> list[str]:
    """How the database carries out each statement of a question."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    sa.event.listen(store.database.engine, "before_cursor_execute", note)
    ask()
    sa.event.remove(store.database.engine, "before_cursor_execute", note)
    word = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
    found = []
    with store.database.engine.connect() as connection:
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(f"{word} {statement}", parameters)
            found.append("\n".join(str(row[-1]) for row in rows))
    return found


def test_a_leaderboard_is_the_first_rows_of_its_index(filled: tuple[Store, int]) -> None:
    store, largest = filled
    first, *rest = plans(store, lambda: store.leaderboard(largest, 10))
    assert "ix_trials_leaderboard" in first
    assert "Sort" not in first
    assert "TEMP B-TREE" not in first
    assert "Seq Scan" not in first
    assert "SCAN trials" not in first
    for plan in rest:
        assert "trials" not in plan.lower()
    (best,) = plans(store, lambda: store.best_score(largest))
    assert "ix_trials_leaderboard" in best


def test_counts_are_read_from_an_index_alone(filled: tuple[Store, int]) -> None:
    store, largest = filled
    alone = "COVERING INDEX" if store.database.is_sqlite else "Index Only Scan"
    small = store.find("s0").id
    # PostgreSQL may read the table where a question is about most of it.
    asked = [lambda: store.counts(small)]
    if store.database.is_sqlite:
        asked += [lambda: store.counts(largest), store.summaries]
    for ask in asked:
        plan = plans(store, ask)[0]
        assert f"{alone} " in plan
        assert "ix_trials_search_id_state_score" in plan


def test_a_page_of_trials_is_found_by_number(filled: tuple[Store, int]) -> None:
    store, largest = filled
    for ask in (
        lambda: store.trial_page(largest, 5000),
        lambda: store.newest_trials(largest, 10),
    ):
        plan = plans(store, ask)[0]
        assert "uq_trials_search_id_number" in plan or "sqlite_autoindex_trials" in plan
        assert "TEMP B-TREE" not in plan


def test_a_leaderboard_is_sorted_as_it_says(filled: tuple[Store, int]) -> None:
    store, largest = filled
    leaders = store.leaderboard(largest, 200)
    keys = [(-(trial.score or 0), trial.loss or 0, trial.number) for trial in leaders]
    assert keys == sorted(keys)
    assert {trial.state for trial in leaders} == {"complete", "pruned"}
    every = [trial for trial in store.each_trial(largest) if trial.state != "failed"]
    assert len(every) == len(store.leaderboard(largest))
    assert leaders[0].score == max(trial.score or 0 for trial in every)
