"""The controller: Ray Tune runs the trials, the store keeps them, the conclusion comes last."""

import math
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace

from ray import tune
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    PlacementGroupFactory,
    RunConfig,
    TuneConfig,
    TuneError,
    Tuner,
)

from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.callbacks.prometheus import SearchMetrics
from autoprompt.controller.callbacks.store_writer import Recorder
from autoprompt.controller.callbacks.watchdog import Supervisor, interruptible
from autoprompt.controller.finalize import choose_for_now, conclude
from autoprompt.controller.lease import claimed, refuse_if_alive
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.ray_cluster import Cluster, cluster
from autoprompt.controller.resume import Past, settle
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import DatabaseLostError, SearchTakenError
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.trial import TrialRunner


def run_search(prepared: Prepared, store: Store, progress: SearchProgress) -> SearchRecord:
    """Run a prepared search to its end.

    Raises:
        SearchFailedError: no trial succeeded.
        BadInputError: its name is taken, or no Ray cluster can be had.
        DatabaseLostError: the database went away for longer than the store waits; what trials had
            reported until then is in it.
        KeyboardInterrupt: it was stopped; `resume_search` goes on with it.
    """
    with interruptible(), ExitStack() as stack:
        with progress.step("starting Ray"):
            here = stack.enter_context(cluster(prepared.config.search, prepared.config.title))
        search = create_search(prepared, store)
        stack.enter_context(claimed(store, search))
        return _carry_out(prepared, store, search, here, progress)


def resume_search(
    prepared: Prepared, store: Store, search: SearchRecord, progress: SearchProgress
) -> SearchRecord:
    """Go on with a search that was stopped, failed, or lost its controller.

    Raises:
        BadInputError: it is finished, or runs elsewhere; or no Ray cluster can be had.
        SearchFailedError, KeyboardInterrupt: as `run_search`.
    """
    with interruptible(), ExitStack() as stack:
        refuse_if_alive(store, search, progress)
        with progress.step("starting Ray"):
            here = stack.enter_context(cluster(prepared.config.search, search.name))
        stack.enter_context(claimed(store, search))
        return _carry_out(prepared, store, search, here, progress, resumed=True)


def _carry_out(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    here: Cluster,
    progress: SearchProgress,
    resumed: bool = False,
) -> SearchRecord:
    progress.say(f"search {search.id}: {search.name}")
    if here.dashboard:
        progress.say(f"Ray dashboard: {here.dashboard}")
    attempts = prepared.config.search.attempts
    try:
        past = settle(store, search, attempts, progress) if resumed else Past()
        run_trials(prepared, store, search, here, progress, past)
        conclude(prepared, store, search, here, progress)
    except SearchTakenError:
        raise
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        message = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        # Where the database is gone there is nowhere to say so; the search stays as it is.
        with suppress(DatabaseLostError):
            store.finish_search(search.id, "stopped" if stopped else "failed", message)
        if stopped:
            hint = f"`autoprompt resume {search.name}` goes on"
            raise KeyboardInterrupt(f"{message}; {hint}" if str(error) else hint) from None
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
        config=config.to_store(),
        versions=prepared.versions,
        data=prepared.splits.sizes | {"truncated": prepared.truncated},
        validation_labels=list(prepared.splits.validation.labels),
        ensemble=None,
        footprint=prepared.footprint.to_bytes(),
        warm_start=prepared.warm_start,
    )


def run_trials(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    here: Cluster,
    progress: SearchProgress,
    past: Past = Past(),  # noqa: B008 - it cannot change
    trainable: type[tune.Trainable] = TrialRunner,
) -> None:
    """Dispatch the trials and store what they report, until the budget is spent.

    Args:
        past: what a resumed search has behind it.
        trainable: what carries out a plan; it is set up with `config` and `job`, and reports as
            `TrialRunner` does.

    Raises:
        KeyboardInterrupt: the search was stopped.
    """
    config = prepared.config
    spec = config.search
    left = spec.trials - len(past.ended)
    if left <= 0:
        return
    first = search.warm_start["params"] if search.warm_start else ()
    job = replace(prepared.job, search=search.name)
    supervisor = Supervisor(spec.hung_after_seconds, progress)
    recorder = Recorder(store, search.id, progress, supervisor.hung, past.again)
    # Tune wants a folder for its own state; nothing in it outlives the search.
    scratch = tempfile.mkdtemp(prefix="autoprompt-")
    tuner = Tuner(
        tune.with_resources(
            tune.with_parameters(trainable, job=job), PlacementGroupFactory([here.needs])
        ),
        tune_config=TuneConfig(
            search_alg=OptunaSearcher(
                config.space,
                spec.seed,
                budget=left,
                together=spec.trials_per_worker,
                first=first,
                past=past.trials,
            ),
            scheduler=AshaByKind(config.space.kinds, spec.rungs, spec.reduction_factor, past.ended),
            num_samples=math.ceil(left / spec.trials_per_worker),
            max_concurrent_trials=None if spec.workers == "auto" else spec.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"trial-{trial.config['trials'][0]['number']}",
        ),
        run_config=RunConfig(
            name=f"search-{search.id}",
            storage_path=scratch,
            verbose=0,
            callbacks=[
                recorder,
                supervisor,
                SearchMetrics(store, search.id, search.name, spec.trials),
            ],
            stop=supervisor,
            failure_config=FailureConfig(max_failures=spec.attempts - 1),
            # Else an ended trial has its worker save nothing, and begins again if that dies.
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        with progress.trials(spec.trials, here.workers, past.ended), supervisor.listening():
            tuner.fit()
    except TuneError:
        if recorder.error is not None:
            raise recorder.error from None
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if supervisor.stopping:
        choose_for_now(prepared, store, search)
        counts = store.counts(search.id)
        ended = counts["complete"] + counts["pruned"] + counts["failed"]
        raise KeyboardInterrupt(f"after {ended} of {spec.trials} trials")
