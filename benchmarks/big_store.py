"""A store with a great many trials, and how long what the command line asks of it takes.

python -m benchmarks.big_store [--trials N] [--only sqlite|postgresql]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from autoprompt.store import Store
from autoprompt.store.tables import Prompt, Rung, Search, Trial, now

#: Half of all trials are one search's; these share the rest.
SMALL_SEARCHES = 50
RUNGS = 2
ROUNDS = 20


def fill(store: Store, trials: int) -> int:
    """Put searches of so many trials into an empty store, by SQL alone; the largest one's id.

    Scores are spread and some are equal; one trial in ten failed, half of the rest were stopped.
    """
    large = trials // 2
    small = (trials - large) // SMALL_SEARCHES
    found = 0
    for number, size in enumerate([*([small] * SMALL_SEARCHES), large]):
        found = store.create_search(**_search(f"s{number}")).id
        writing = store.database.engine.connect().execution_options(writes=True)
        with writing as connection, connection.begin():
            _add_trials(connection, found, size)
    _count_rows(store)
    return found


def _add_trials(connection: sa.Connection, search_id: int, count: int) -> None:
    numbers = sa.select(sa.literal(0).label("number")).cte("numbers", recursive=True)
    more = sa.select(numbers.c.number + 1).where(numbers.c.number < count - 1)
    numbers = numbers.union_all(more)
    number = numbers.c.number
    failed = number % 10 == 9
    columns: dict[str, Any] = {
        "search_id": sa.literal(search_id),
        "number": number,
        "kind": sa.literal("soft"),
        "state": sa.case((failed, "failed"), (number % 2 == 0, "complete"), else_="pruned"),
        "plan": sa.literal({"kind": "soft", "length": 8, "steps": 60}, sa.JSON),
        "params": sa.literal({"kind": "soft", "soft.length": 8}, sa.JSON),
        "distributions": sa.literal({}, sa.JSON),
        "score": sa.case((failed, None), else_=(number % 100_003 * 7919 % 10007) / 10007.0),
        "loss": (number % 20_011 * 104729 % 1299709) / 1299709.0,
        "seconds": sa.literal(2.0),
        "models_loaded": sa.literal(0),
        "texts_encoded": sa.literal(0),
        "attempts": sa.literal(1),
        "started_at": sa.literal(now(), Trial.started_at.type),
    }
    connection.execute(sa.insert(Trial).from_select(list(columns), sa.select(*columns.values())))
    scored = (Trial.search_id == search_id) & (Trial.state != "failed")
    rungs = sa.union_all(
        *(sa.select(sa.literal(each).label("rung")) for each in range(1, RUNGS + 1))
    )
    rung = rungs.subquery().c.rung
    columns = {
        "trial_id": Trial.id,
        "rung": rung,
        "step": rung * 30,
        "score": Trial.score,
        "loss": Trial.loss,
        "train_loss": sa.literal(0.5),
        "seconds": sa.literal(1.0),
        "reported_at": Trial.started_at,
    }
    each = sa.select(*columns.values()).select_from(sa.join(Trial, rung.table, sa.true()))
    chosen = each.where(scored)
    connection.execute(sa.insert(Rung).from_select(list(columns), chosen))
    columns = {
        "trial_id": Trial.id,
        "rung": sa.literal(RUNGS),
        "digest": sa.literal("d"),
        "text": sa.literal("[8 virtual tokens near: The overall sentiment is]"),
        "content": sa.literal(b"p" * 256, sa.LargeBinary),
        "log_probs": sa.literal(b"l" * 256, sa.LargeBinary),
    }
    chosen = sa.select(*columns.values()).where(scored)
    connection.execute(sa.insert(Prompt).from_select(list(columns), chosen))


def _count_rows(store: Store) -> None:
    """What PostgreSQL does by itself a while after a load: it learns how many rows there are, and
    which pages an index alone can answer for. SQLite is left as a search leaves it."""
    if not store.database.is_sqlite:
        engine = store.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))


def _search(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": "m",
        "metric": "accuracy",
        "seed": 0,
        "config": {},
        "versions": {},
        "data": {},
        "validation_labels": [],
        "ensemble": None,
    }


def median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def measure(url: str, trials: int) -> dict[str, float]:
    """Milliseconds, medians of ROUNDS, over the largest search."""
    store = Store.open(url)
    started = time.perf_counter()
    largest = fill(store, trials)
    print(f"filled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    with store.database.engine.connect() as connection:
        stored = connection.scalar(sa.select(sa.func.count()).select_from(Trial)) or 0
        searches = connection.scalar(sa.select(sa.func.count()).select_from(Search)) or 0
    found = {
        "trials": stored,
        "searches": searches,
        "largest": store.counts(largest)["complete"],
        "leaderboard": median_ms(lambda: store.leaderboard(largest, 10)),
        "best_score": median_ms(lambda: store.best_score(largest)),
        "counts": median_ms(lambda: store.counts(largest)),
        "list": median_ms(store.summaries),
        "page": median_ms(lambda: store.trial_page(largest, trials // 4)),
        "newest": median_ms(lambda: store.newest_trials(largest, 1000)),
    }
    store.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    kinds = [arguments.only] if arguments.only else ["sqlite", "postgresql"]
    found = {}
    for kind in kinds:
        with ExitStack() as stack:
            if kind == "sqlite":
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                url = f"sqlite:///{Path(folder) / 'store.db'}"
            else:
                from tests.postgresql import PostgreSql

                server = PostgreSql()
                stack.callback(server.remove)
                url = server.database()
            found[kind] = measure(url, arguments.trials)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
