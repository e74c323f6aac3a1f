"""What five folds of one KV plan cost, side by side, beside the plan carried out once; texts are
computed before either.

    python -m benchmarks.fold_seconds
"""

import json
import time

from autoprompt.controller.bagging import folds_of
from autoprompt.search_spaces import KVPlan
from autoprompt.search_spec import BaggingSpec
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.tuners import Examples, Pack
from benchmarks.setting import MODEL, SEED, TASK, movie_examples

PLAN = KVPlan(
    seed=SEED,
    data_seed=SEED,
    position="end",
    length=8,
    init="labels",
    learning_rate=0.01,
    steps=120,
    batch_size=16,
)


def run() -> dict[str, float]:
    """Seconds of each."""
    scorer = load_scorer(MODEL, TASK, 16)
    examples = movie_examples(scorer)
    labels = [*examples.train_labels.tolist(), *examples.validation_labels.tolist()]
    pool = Examples(
        [*examples.train, *examples.validation],
        examples.train_labels.new_tensor(labels),
        [],
        examples.train_labels[:0],
    )
    scorer.prefill(pool.train, frozenset({"end"}), True)
    folds = folds_of(tuple(labels), BaggingSpec(folds=5), SEED)
    once = _seconds(Pack({0: PLAN}, scorer, examples, (1.0,)))
    together = Pack({}, scorer, pool, (1.0,))
    for number, left_out in enumerate(folds.values()):
        held = set(left_out)
        learnt = [place for place in range(len(pool.train)) if place not in held]
        together.add({number: PLAN}, pool.part(learnt, left_out))
    return {"once": once, "folds": _seconds(together), "texts": len(labels)}


def _seconds(pack: Pack) -> float:
    started = time.perf_counter()
    while pack.numbers:
        pack.advance()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(run()))
