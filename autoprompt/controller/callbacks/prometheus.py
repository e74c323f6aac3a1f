"""What a search says to Prometheus, through the metrics endpoint of every Ray node.

Ray puts `ray_` before each name, and `_total` after a counter's. The workers' own metrics are in
`workers/trial.py`.
"""

import time
from contextlib import suppress
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.metrics import Gauge, Histogram

from autoprompt.search_spaces.errors import DatabaseLostError
from autoprompt.store import Store

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


class SearchMetrics(Callback):
    """Keeps a search's gauges at what the store says, so that a resumed search counts whole."""

    def __init__(self, store: Store, search_id: int, name: str, budget: int) -> None:
        self._store = store
        self._search_id = search_id
        self._tags = {"search": name}
        self._budget = budget
        self._looked_at = -_PERIOD

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        if trial.num_failures == 0:  # a worker that died is replaced without a new draw
            for each in trial.config["trials"]:
                QUEUE_WAIT.observe(max(0.0, time.time() - each["drawn_at"]), self._tags)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if time.monotonic() - self._looked_at >= _PERIOD:
            self._look()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._look()

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        # A database that is gone is the recorder's to report.
        with suppress(DatabaseLostError):
            self._tell()

    def _tell(self) -> None:
        counts = self._store.counts(self._search_id)
        counts["waiting"] = max(0, self._budget - sum(counts.values()))
        for state, count in counts.items():
            TRIALS.set(count, self._tags | {"state": state})
        best = self._store.best_score(self._search_id)
        if best is not None:
            BEST_SCORE.set(best, self._tags)
