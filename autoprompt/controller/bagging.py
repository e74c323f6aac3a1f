"""Bagging: finalists' plans carried out once a fold, on all labelled texts but that fold (Breiman
1996; as cross-validation committees, Parmanto et al. 1996).

Every labelled text is learnt by most of a plan's prompts and judged by one that did not learn it.
What votes, how, and how sure it is, is decided by these predictions alone.
"""

from dataclasses import replace

import numpy as np

from autoprompt.controller.callbacks.rerun_writer import Fold, FoldWriter
from autoprompt.controller.executor import Executor
from autoprompt.controller.reruns import carry_out, reseeded
from autoprompt.ensemble.selection import drawn
from autoprompt.evaluation.candidates import CANDIDATES
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spec import BaggingSpec
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.blocks import Blocks
from autoprompt.workers.data import Split
from autoprompt.workers.metrics import METRICS


def bag(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
) -> None:
    """Carry out every fold that the store does not have yet; each is stored as it ends.

    The folds of a plan stand one after another, and share a worker's passes.

    Raises:
        KeyboardInterrupt: stopped before all of them were carried out.
    """
    config, splits = prepared.config, prepared.splits
    spec = config.bagging
    assert spec is not None
    pool = splits.train.beside(splits.validation)
    store.update_search(search.id, train_labels=list(splits.train.labels))
    chosen = drawn(
        store.prompts(search.id, limit=CANDIDATES),
        splits.validation.labels,
        answers_of(config.task),
        METRICS[config.task.metric],
        spec.plans,
        config.ensemble.select,
    )
    folds = folds_of(pool.labels, spec, config.search.seed, pool.groups)
    places = {which: place for place, which in enumerate(folds)}
    known = {(fold.number, fold.repeat, fold.fold) for fold in store.fold_prompts(search.id)}
    waiting = [
        Fold(
            prompt.number,
            repeat,
            fold,
            reseeded(prompt.plan, f"fold {repeat}.{fold}"),
            places[repeat, fold],
            folds[repeat, fold],
        )
        for prompt in chosen
        for repeat, fold in folds
        if (prompt.number, repeat, fold) not in known
    ]
    if not waiting:
        return
    progress.say(
        f"training the best {len(chosen)} once a fold, on all {len(pool)} labelled texts but that "
        f"fold{' and on all' if spec.refit else ''}: {len(waiting)} runs to go"
    )
    job = replace(
        prepared.job,
        train=pool,
        validation=Split((), ()),
        folds=tuple(folds.values()),
        # One rung, the end: a rung chosen by the fold would have seen it.
        fractions=(1.0,),
        patience=None,
        blocks=Blocks(),
    )
    runs = dict(enumerate(waiting))
    with progress.counting("folds", len(waiting)) as advance:
        writer = FoldWriter(store, search.id, progress, runs, advance)
        together = max(config.search.together, len(folds))
        carry_out(writer, executor, job, "bagging", together)
    missing = len(waiting) + len(known) - len(store.fold_prompts(search.id))
    if missing:
        raise KeyboardInterrupt(f"stopped with {missing} folds of finalists to go")


def folds_of(
    labels: tuple[int, ...], spec: BaggingSpec, seed: int, groups: tuple[str, ...] = ()
) -> dict[tuple[int, int], tuple[int, ...]]:
    """The places of the texts that each run leaves out, each fold with its part of every label, by
    division and fold; with `refit` one that leaves out none, as 0 of the first.

    Args:
        labels: [B].
        groups: [B], of which each is in one fold of a division; none where there are none.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedGroupKFold if groups else StratifiedKFold
    found = {}
    for repeat in range(1, spec.repeats + 1):
        division = kind(spec.folds, shuffle=True, random_state=(seed + repeat) % 2**32)
        parts = division.split(np.zeros(len(labels)), labels, groups or None)
        for fold, (_, left_out) in enumerate(parts, 1):
            found[repeat, fold] = tuple(left_out.tolist())
    if spec.refit:
        found[1, 0] = ()
    return found
