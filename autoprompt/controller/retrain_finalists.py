"""Confirmation: the finalists' plans carried out again with other seeds.

The best of many trials is partly the luckiest. Its mean over other seeds is not.
"""

import random
from collections.abc import Mapping
from typing import Any

from autoprompt.controller.callbacks.repeat_writer import Repeat, RepeatWriter
from autoprompt.controller.dispatch import Dispatch, PlanSource
from autoprompt.controller.executor import Executor
from autoprompt.controller.stopping_rule import NoStopping
from autoprompt.evaluation.candidates import CANDIDATES, best_distinct
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.report import Report


def confirm(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
) -> None:
    """Carry out every repeat that the store does not have yet; each is stored as it ends.

    Raises:
        KeyboardInterrupt: stopped before all of them were carried out.
    """
    spec = prepared.config.confirm
    assert spec is not None
    chosen = best_distinct(store.prompts(search.id, limit=CANDIDATES), spec.top)
    plans = {trial.number: trial.plan for trial in store.leaderboard(search.id, CANDIDATES)}
    done = {(repeat.number, repeat.repeat) for repeat in store.confirmations(search.id)}
    waiting = [
        Repeat(prompt.number, repeat, _reseeded(plans[prompt.number], repeat))
        for repeat in range(1, spec.seeds + 1)
        for prompt in chosen
        if (prompt.number, repeat) not in done
    ]
    if not waiting:
        return
    progress.say(
        f"training the best {len(chosen)} again with {spec.seeds} other seeds: "
        f"{len(waiting)} runs to go"
    )
    repeats = dict(enumerate(waiting))
    with progress.counting("repeats", len(waiting)) as advance:
        dispatch = Dispatch(
            _Listed(repeats),
            NoStopping(),
            RepeatWriter(store, search.id, progress, repeats, advance),
            count=len(waiting),
        )
        executor.run(dispatch, prepared.job, "confirmation")
    missing = len(waiting) + len(done) - len(store.confirmations(search.id))
    if missing:
        raise KeyboardInterrupt(f"stopped with {missing} repeats of finalists to go")


def _reseeded(plan: dict[str, Any], repeat: int) -> dict[str, Any]:
    """A plan with the seeds of a repeat, which follow from its own."""
    seeds = {
        name: random.Random(f"{plan.get(name, 0)}/repeat {repeat}").getrandbits(31)
        for name in ("seed", "data_seed")
    }
    return plan | seeds


class _Listed(PlanSource):
    """Hands out repeats under their numbers in the list. Nothing is learnt of them."""

    def __init__(self, repeats: Mapping[int, Repeat]) -> None:
        self._waiting = [
            {"number": number, "plan": repeat.plan} for number, repeat in repeats.items()
        ]

    def draw(self, count: int) -> list[dict[str, Any]]:
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return drawn

    def reported(self, report: Report) -> None: ...

    def failed(self, number: int) -> None: ...
