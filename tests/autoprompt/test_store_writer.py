"""What the store writer says beside what it stores; that is tested with the searches."""

import io
from pathlib import Path

from rich.console import Console

from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from autoprompt.workers.report import Step, Work
from tests.autoprompt.test_store import search_fields, start
from tests.reports import failure, report


def writer(store: Store, search_id: int, console: Console | None = None) -> StoreWriter:
    made = StoreWriter(store, search_id, SearchProgress(console, quiet=console is None))
    for number in range(2):
        start(store, search_id, number)
        [trial] = [one for one in store.trials(search_id) if one.number == number]
        made.began(
            {"number": number, "plan": trial.plan, "params": trial.params, "distributions": {}}
        )
    return made


def test_why_trials_are_slow_is_told_once(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    said = io.StringIO()
    made = writer(store, store.create_search(**search_fields()).id, Console(file=said, width=200))
    why = "the text cache is not used"
    for rung, slower in enumerate((None, why, why), 1):
        made.reported(report(0, rung, 0.5), Step([], "here:1", slower=slower))
    assert said.getvalue().count(f"slower than they might be: {why}") == 1


def test_work_that_trials_share_is_counted_once(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    search = store.create_search(**search_fields())
    made = writer(store, search.id)
    step = Step([], "here:1", Work(models_loaded=1, texts_encoded=7))
    made.reported(report(0, 1, 0.5, gradient_norm=2.5), step)
    made.failed(failure(1), step)
    first, second = store.trials(search.id)
    assert (first.models_loaded, first.texts_encoded, first.worker) == (1, 7, "here:1")
    assert (second.models_loaded, second.texts_encoded, second.worker) == (0, 0, "here:1")
    assert [rung.gradient_norm for rung in first.rungs] == [2.5]
    assert (second.state, second.seconds) == ("failed", 1.0)
