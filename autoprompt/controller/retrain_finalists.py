"""Confirmation: the finalists' plans carried out again with other seeds.

The best of many trials is partly the luckiest. Its mean over other seeds is not.
"""

from autoprompt.controller.callbacks.rerun_writer import Repeat, RepeatWriter
from autoprompt.controller.executor import Executor
from autoprompt.controller.reruns import carry_out, reseeded
from autoprompt.evaluation.candidates import CANDIDATES, best_distinct
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.store import SearchRecord, Store


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
    done = {(repeat.number, repeat.repeat) for repeat in store.confirmations(search.id)}
    waiting = [
        Repeat(prompt.number, repeat, reseeded(prompt.plan, f"repeat {repeat}"))
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
        writer = RepeatWriter(store, search.id, progress, repeats, advance)
        carry_out(writer, executor, prepared.job, "confirmation")
    missing = len(waiting) + len(done) - len(store.confirmations(search.id))
    if missing:
        raise KeyboardInterrupt(f"stopped with {missing} repeats of finalists to go")
