"""How many trials each worker carries out side by side, fixed before the search's row is written,
and stored in it: timing decides no plan."""

import math
from dataclasses import replace

from autoprompt.controller.executor import Executor
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spec import SearchSpec
from autoprompt.workers.population import Population, measured_population

#: So many plans the searcher draws at random before it learns from any.
_AT_RANDOM = 10


def with_pinned_population(
    prepared: Prepared, executor: Executor, progress: SearchProgress
) -> Prepared:
    """A new search with what `trials_per_worker: auto` stands for on its workers; a number that was
    asked for stays."""
    config = prepared.config
    spec = config.search
    if spec.trials_per_worker != "auto":
        return prepared
    most = most_useful(spec, executor.workers)
    if most == 1:
        found = Population({}, most)
    else:
        first = OptunaSearcher(config.space, spec.seed).draw(len(config.space.kinds))
        plans = [trial["plan"] for trial in first]
        with progress.step("measuring how many trials a worker has use for"):
            found = executor.on_worker(measured_population, prepared.job, plans, most)
    progress.say(f"trials side by side on each worker: {found}")
    return replace(
        prepared,
        config=config.with_population(found.size),
        versions=prepared.versions | {"trials_per_worker": str(found)},
    )


def most_useful(spec: SearchSpec, workers: int) -> int:
    """No more than there are trials; and no more at a time, on all workers together, than the
    searcher draws at random before it learns, or a quarter of all: it should see what came of those
    before them."""
    share = math.ceil(spec.trials / workers)
    return max(1, min(share, max(_AT_RANDOM, spec.trials // 4) // workers))
