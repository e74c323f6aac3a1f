"""What a search says to Prometheus, through the metrics endpoint of every Ray node.

Ray puts `ray_` before each name, and `_total` after a counter's. The workers' own metrics are in
`workers/trial.py`.
"""

import time
from contextlib import suppress
from typing import Any

from ray.util.metrics import Gauge, Histogram

from autoprompt.controller.dispatch import Watcher
from autoprompt.search_spaces.errors import DatabaseLostError
from autoprompt.store import SearchRecord, Store

TRIALS = Gauge(
    "autoprompt_trials",
    "Trials by state: those of the store, and as waiting those that the budget still has.",
    ("search", "state"),
)
BEST_SCORE = Gauge("autoprompt_best_score", "The best score on validation so far.", ("search",))
QUEUE_WAIT = Histogram(
    "autoprompt_queue_wait_seconds",
    "From a plan being drawn to a worker beginning it.",
    [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000],
    ("search",),
)

#: Seconds between two looks at the store. Ray itself exports every ten.
_PERIOD = 5.0


class SearchMetrics(Watcher):
    """Keeps a search's gauges at what the store says, so that a resumed search counts whole."""

    def __init__(self, store: Store, search: SearchRecord, budget: int) -> None:
        self._store = store
        self._search = search
        self._tags = {"search": search.name}
        self._budget = budget
        self._next = 0.0

    def began(self, trial: dict[str, Any]) -> None:
        QUEUE_WAIT.observe(max(0.0, time.time() - trial["drawn_at"]), self._tags)

    def looked(self, last: bool = False) -> None:
        now = time.monotonic()
        if now < self._next and not last:
            return
        self._next = now + _PERIOD
        # A database that is gone is the store writer's to report.
        with suppress(DatabaseLostError):
            self._export()

    def _export(self) -> None:
        counts = self._store.counts(self._search.id)
        counts["waiting"] = max(0, self._budget - sum(counts.values()))
        for state, count in counts.items():
            TRIALS.set(count, self._tags | {"state": state})
        best = self._store.best_score(self._search.id)
        if best is not None:
            BEST_SCORE.set(self._search.direction.natural(best), self._tags)
