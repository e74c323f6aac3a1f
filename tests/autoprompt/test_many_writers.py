"""Several searches, each a process of its own, write to one database at once."""

import subprocess
import sys
from pathlib import Path

from autoprompt.store import Store

WRITERS, TRIALS, RUNGS = 4, 15, 3

#: What each process runs: it may find no tables yet, and its name taken.
WRITER = f"""
import sys
from autoprompt.store import Store
from tests.autoprompt.test_store import report, search_fields, start

store = Store.open(sys.argv[1])
search = store.create_search(**search_fields("one"), numbered=True)
assert store.claim_search(search.id, sys.argv[2], None)
for number in range({TRIALS}):
    start(store, search.id, number)
    for rung in range(1, {RUNGS} + 1):
        report(store, search.id, number, rung, number / 100)
    store.finish_trial(search.id, number, "complete")
store.finish_search(search.id, "finished")
"""


def test_nothing_is_lost_or_mixed_up(db: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, db, f"w:{number}"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    store = Store.open(db)
    names = ["one", *(f"one-{number}" for number in range(2, WRITERS + 1))]
    assert sorted(each.name for each in store.searches()) == names
    for summary in store.summaries():
        assert summary.search.state == "finished"
        assert summary.counts["complete"] == TRIALS
        trials = store.trials(summary.search.id)
        assert [trial.number for trial in trials] == list(range(TRIALS))
        assert all(len(trial.rungs) == RUNGS and trial.seconds == 2.0 * RUNGS for trial in trials)
        assert [trial.score for trial in trials] == [number / 100 for number in range(TRIALS)]
    store.close()
