"""Bagging: finalists' plans carried out once a fold, on all labelled texts but that fold (Breiman
1996; as cross-validation committees, Parmanto et al. 1996).

Every labelled text is learnt by most of a plan's prompts and judged by one that did not learn it.
What votes, how, and how sure it is, is decided by these predictions alone.

With negative correlation the plans of a fold are trained side by side to err differently, and what
each comes to depends on the others. They read the same texts at each step, begin together and are
told of together, and all of a fold are carried out again where one is missing: a search that was
stopped, or lost a worker, comes to the same.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autoprompt.controller.callbacks.rerun_writer import Fold, FoldWriter
from autoprompt.controller.executor import Executor
from autoprompt.controller.reruns import carry_out, reseeded
from autoprompt.ensemble.selection import drawn
from autoprompt.evaluation.candidates import CANDIDATES
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spec import BaggingSpec
from autoprompt.store import PromptRecord, SearchRecord, Store
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

    The folds of a plan stand one after another, and share a worker's passes; with negative
    correlation the plans of a fold do.

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
    folds = folds_of(pool.labels, spec, config.search.seed)
    known = {(fold.number, fold.repeat, fold.fold) for fold in store.fold_prompts(search.id)}
    runs = [
        Fold(
            prompt.number,
            repeat,
            fold,
            _plan_of(prompt.plan, f"fold {repeat}.{fold}", spec, config.search.seed),
            place,
            folds[repeat, fold],
        )
        for prompt in chosen
        for place, (repeat, fold) in enumerate(folds)
    ]
    together = max(config.search.together, len(folds))
    missing = [run for run in runs if run.key not in known]
    waiting = missing
    if spec.negative_correlation:
        together = len(chosen)
        torn = {run.place for run in missing}
        waiting = sorted((run for run in runs if run.place in torn), key=lambda run: run.place)
    if not waiting:
        return
    progress.say(
        f"training the best {len(chosen)} once a fold, on all {len(pool)} labelled texts but that "
        f"fold{' and on all' if spec.refit else ''}: {len(waiting)} runs to go"
    )
    if spec.negative_correlation:
        for prompt in _alone(chosen):
            progress.say(
                f"trial {prompt.number} trains by itself: negative correlation is between trained "
                "prompts of one template, label words and batch_size"
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
        negative_correlation=spec.negative_correlation,
    )
    numbered = dict(enumerate(waiting))
    with progress.counting("folds", len(waiting)) as advance:
        writer = FoldWriter(store, search.id, progress, numbered, advance)
        refill = not spec.negative_correlation
        carry_out(writer, executor, job, "bagging", together, refill)
    left = len(missing) + len(known) - len(store.fold_prompts(search.id))
    if left:
        raise KeyboardInterrupt(f"stopped with {left} folds of finalists to go")


def _plan_of(plan: Mapping[str, Any], run: str, spec: BaggingSpec, seed: int) -> dict[str, Any]:
    """A finalist's plan as it is carried out on a fold; with negative correlation all of them read
    its texts in the same order."""
    own = reseeded(plan, run)
    if spec.negative_correlation:
        own["data_seed"] = reseeded({"data_seed": seed}, run)["data_seed"]
    return own


def _alone(chosen: Sequence[PromptRecord]) -> list[PromptRecord]:
    """Those whose plans no other is trained beside, on the same texts in the same wording."""
    asked = ("template", "label_words", "demonstrations", "batch_size")
    ways = [json.dumps([prompt.plan.get(name) for name in asked]) for prompt in chosen]
    trained = Counter(
        way for way, prompt in zip(ways, chosen, strict=True) if prompt.kind != "hard"
    )
    return [
        prompt
        for way, prompt in zip(ways, chosen, strict=True)
        if prompt.kind == "hard" or trained[way] == 1
    ]


def folds_of(
    labels: tuple[int, ...], spec: BaggingSpec, seed: int
) -> dict[tuple[int, int], tuple[int, ...]]:
    """The places of the texts that each run leaves out, each fold with its part of every label, by
    division and fold; with `refit` one that leaves out none, as 0 of the first.

    Args:
        labels: [B].
    """
    from sklearn.model_selection import StratifiedKFold

    found = {}
    for repeat in range(1, spec.repeats + 1):
        division = StratifiedKFold(spec.folds, shuffle=True, random_state=(seed + repeat) % 2**32)
        parts = division.split(np.zeros(len(labels)), labels)
        for fold, (_, left_out) in enumerate(parts, 1):
            found[repeat, fold] = tuple(left_out.tolist())
    if spec.refit:
        found[1, 0] = ()
    return found
