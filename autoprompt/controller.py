"""The controller: Ray Tune runs the trials, the store keeps them, the conclusion comes last."""

import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace

from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, TuneError, Tuner

from autoprompt.cluster import Cluster, cluster
from autoprompt.conclusion import conclude
from autoprompt.early_stopping import AshaByKind
from autoprompt.metrics import SearchMetrics
from autoprompt.preparation import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.recorder import Recorder
from autoprompt.searcher import OptunaSearcher
from autoprompt.store import SearchRecord, Store
from search_spaces.errors import DatabaseLostError
from workers.trial import TrialRunner


def run_search(prepared: Prepared, store: Store, progress: SearchProgress) -> SearchRecord:
    """Run a prepared search to its end.

    Raises:
        SearchFailedError: no trial succeeded.
        BadInputError: its name is taken, or no Ray cluster can be had.
        DatabaseLostError: the database went away for longer than the store waits; what trials had
            reported until then is in it.
    """
    with ExitStack() as stack:
        with progress.step("starting Ray"):
            here = stack.enter_context(cluster(prepared.config.search, prepared.config.title))
        search = create_search(prepared, store)
        progress.say(f"search {search.id}: {search.name}")
        if here.dashboard:
            progress.say(f"Ray dashboard: {here.dashboard}")
        try:
            run_trials(prepared, store, search, here, progress)
            conclude(prepared, store, search, here, progress)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            message = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            # Where the database is gone there is nowhere to say so; the search stays as it is.
            with suppress(DatabaseLostError):
                store.finish_search(search.id, "stopped" if stopped else "failed", message)
            raise
        store.finish_search(search.id, "finished")
    return store.find(str(search.id))


def create_search(prepared: Prepared, store: Store) -> SearchRecord:
    """The search's row, with all that says where its numbers will come from."""
    config = prepared.config
    return store.create_search(
        name=config.title,
        numbered=True,
        model=config.model.path,
        metric=config.task.metric,
        seed=config.search.seed,
        config=config.model_dump(mode="json", exclude={"store"}),
        versions=prepared.versions,
        data=prepared.splits.sizes | {"truncated": prepared.truncated},
        validation_labels=list(prepared.splits.validation.labels),
        ensemble=None,
        footprint=prepared.footprint.to_bytes(),
        warm_start=prepared.warm_start,
    )


def run_trials(
    prepared: Prepared, store: Store, search: SearchRecord, here: Cluster, progress: SearchProgress
) -> None:
    """Dispatch the trials and store what they report, until the budget is spent."""
    config = prepared.config
    spec = config.search
    first = search.warm_start["params"] if search.warm_start else ()
    job = replace(prepared.job, search=search.name)
    trainable = tune.with_resources(
        tune.with_parameters(TrialRunner, job=job), {"cpu": here.cpus, "gpu": here.gpus}
    )
    # Tune wants a folder for its own state; nothing in it outlives the search.
    scratch = tempfile.mkdtemp(prefix="autoprompt-")
    recorder = Recorder(store, search.id, progress)
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=OptunaSearcher(config.space, spec.seed, first=first),
            scheduler=AshaByKind(config.space.kinds, spec.rungs, spec.reduction_factor),
            num_samples=spec.trials,
            max_concurrent_trials=spec.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial-{trial.config['number']}",
        ),
        run_config=RunConfig(
            name=f"search-{search.id}",
            storage_path=scratch,
            verbose=0,
            callbacks=[recorder, SearchMetrics(store, search.id, search.name, spec.trials)],
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        with progress.trials(spec.trials, spec.workers):
            tuner.fit()
    except TuneError:
        if recorder.lost is not None:
            raise recorder.lost from None
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
