"""The controller: an executor runs the trials, the store keeps them, the conclusion comes last."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from autoprompt.callbacks import Callback, Listeners, TrialEnd
from autoprompt.config import SearchConfig
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.dispatch import Dispatch, Ledger, Limit, Watcher
from autoprompt.controller.executor import Executor
from autoprompt.controller.finalize import choose_for_now, conclude, conclusion_of
from autoprompt.controller.interruption import interruptible
from autoprompt.controller.lease import claimed, refuse_if_alive
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.pinned_population import with_pinned_population
from autoprompt.controller.pinned_words import with_pinned_words
from autoprompt.controller.resume import Past, settle
from autoprompt.controller.search_cost import refuse_too_short
from autoprompt.controller.stopping_rules import rule_over
from autoprompt.controller.terminator import Terminator, standard_error
from autoprompt.controller.time_limit import TimeLimit, seconds_run
from autoprompt.preparation.kept_texts import with_kept_texts
from autoprompt.preparation.pinned_dtype import on_cpu, with_dtype_before, with_pinned_dtype
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.quiet import quiet
from autoprompt.search_spaces.errors import DatabaseLostError, SearchTakenError
from autoprompt.search_spec import SearchSpec
from autoprompt.store import SearchRecord, State, Store
from autoprompt.versions import owner
from autoprompt.workers.metrics import METRICS


def run_search(
    prepared: Prepared,
    store: Store,
    progress: SearchProgress,
    callbacks: Sequence[Callback] = (),
) -> SearchRecord:
    """Run a prepared search to its end.

    Raises:
        SearchFailedError: no trial succeeded.
        BadInputError: its name is taken, no Ray cluster can be had, memory for the texts does not
            hold those of one batch, or its time limit is too short for a trial.
        DatabaseLostError: the database went away for longer than the store waits; what trials had
            reported until then is in it.
        KeyboardInterrupt: it was stopped; `resume_search` goes on with it.
    """
    with interruptible(), ExitStack() as stack:
        config = prepared.config
        executor = stack.enter_context(executor_for(config.search, config.title, progress))
        prepared = with_pinned_dtype(prepared, executor.gpus, progress)
        processor = on_cpu(prepared.job.model, executor.gpus)
        prepared = with_kept_texts(prepared, processor, progress)
        prepared = with_pinned_words(prepared, executor, progress)
        prepared = with_pinned_population(prepared, executor, progress)
        refuse_too_short(prepared, executor, progress)
        search = create_search(prepared, store)
        stack.enter_context(claimed(store, search))
        return _carry_on(prepared, store, search, executor, progress, callbacks)


def resume_search(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    progress: SearchProgress,
    callbacks: Sequence[Callback] = (),
) -> SearchRecord:
    """Go on with a search that was stopped, failed, or lost its controller.

    Raises:
        BadInputError: it is finished, or runs elsewhere; or no Ray cluster can be had.
        SearchFailedError, KeyboardInterrupt: as `run_search`.
    """
    with interruptible(), ExitStack() as stack:
        refuse_if_alive(store, search, progress)
        spec = prepared.config.search
        executor = stack.enter_context(executor_for(spec, search.name, progress))
        prepared = with_dtype_before(prepared, executor.gpus)
        stack.enter_context(claimed(store, search))
        return _carry_on(prepared, store, search, executor, progress, callbacks, resumed=True)


@contextmanager
def executor_for(spec: SearchSpec, name: str, progress: SearchProgress) -> Iterator[Executor]:
    """Workers on a Ray cluster; with `workers: 0`, this process.

    Args:
        name: the search's.

    Raises:
        BadInputError: no Ray cluster can be had.
    """
    if spec.workers == 0:
        from autoprompt.controller.in_process import InProcessExecutor

        yield InProcessExecutor(spec.cpus_per_worker, progress)
        return
    with ExitStack() as stack:
        with progress.step("starting Ray"):
            from autoprompt.controller.ray_cluster import cluster
            from autoprompt.controller.ray_executor import RayExecutor

            joined = stack.enter_context(cluster(spec, name))
        yield RayExecutor(joined, spec, progress)


def _carry_on(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
    callbacks: Sequence[Callback],
    resumed: bool = False,
) -> SearchRecord:
    progress.say(f"search {search.id}: {search.name}")
    if executor.dashboard:
        progress.say(f"Ray dashboard: {executor.dashboard}")
    progress.direction = search.direction
    listeners = Listeners(callbacks, progress)
    listeners.tell("search_started", search)
    attempts = prepared.config.search.attempts
    try:
        past = settle(store, search, attempts, progress, listeners) if resumed else Past()
        run_trials(prepared, store, search, executor, progress, past, listeners)
        conclude(prepared, store, search, executor, progress)
        if callbacks:
            listeners.tell("search_concluded", conclusion_of(store, search))
    except SearchTakenError:
        raise
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        message = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        # Where the database is gone there is nowhere to say so; the search stays as it is.
        with suppress(DatabaseLostError):
            store.finish_search(search.id, State.STOPPED if stopped else State.FAILED, message)
            listeners.tell("search_ended", store.find(str(search.id)))
        if stopped:
            hint = f"`autoprompt resume {search.name}` goes on"
            raise KeyboardInterrupt(f"{message}; {hint}" if str(error) else hint) from None
        raise
    store.finish_search(search.id, State.FINISHED)
    ended = store.find(str(search.id))
    listeners.tell("search_ended", ended)
    return ended


def create_search(prepared: Prepared, store: Store) -> SearchRecord:
    """The search's row, with all that says where its numbers will come from."""
    config = prepared.config
    return store.create_search(
        name=config.title,
        numbered=True,
        model=config.model.path,
        metric=config.task.metric,
        greater_is_better=METRICS[config.task.metric].greater_is_better,
        seed=config.search.seed,
        config=config.to_store(),
        versions=prepared.versions,
        data=prepared.splits.sizes
        | {"truncated": prepared.truncated, "text_tokens": round(prepared.texts.own, 1)},
        validation_labels=list(prepared.splits.validation.labels),
        ensemble=None,
        footprint=prepared.footprint.to_bytes(),
        warm_start=prepared.warm_start,
        owner=owner(),
        tags=list(config.tags) or None,
    )


def run_trials(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
    past: Past = Past(),  # noqa: B008 - it cannot change
    listeners: Listeners | None = None,
) -> None:
    """Dispatch the trials and store what they report, until the budget is spent.

    Args:
        past: what a resumed search has behind it.

    Raises:
        KeyboardInterrupt: the search was stopped.
    """
    spec = prepared.config.search
    if len(past.ended) >= spec.trials or "ended" in search.versions:
        return
    with quiet("optuna", logging.WARNING):
        dispatch = trial_dispatch(
            prepared.config,
            search,
            StoreWriter(store, search.id, progress, past.again, listeners),
            past,
            executor.watchers(store, search),
            prepared.splits.validation.labels,
            executor.workers,
            lambda: standard_error(store, search.id, prepared),
        )
        with progress.trials(spec.trials, executor.workers, past.ended):
            job = replace(prepared.job, search=search.name)
            done = executor.run(dispatch, job, f"search-{search.id}")
    if not done:
        choose_for_now(prepared, store, search)
        counts = store.counts(search.id)
        ended = counts[State.COMPLETE] + counts[State.PRUNED] + counts[State.FAILED]
        raise KeyboardInterrupt(f"after {ended} of {spec.trials} trials")
    if dispatch.ending is not None:
        end_early(store, search, dispatch.ending, spec.trials, listeners)


def trial_dispatch(
    config: SearchConfig,
    search: SearchRecord,
    ledger: Ledger,
    past: Past = Past(),  # noqa: B008 - it cannot change
    watchers: Sequence[Watcher] = (),
    labels: Sequence[int] = (),
    workers: int = 1,
    error: Callable[[], float] = lambda: 0.0,
) -> Dispatch:
    """What is left of a search's trials: drawn by Optuna, stopped by the search's rule.

    Args:
        labels: [B], of the validation texts.
        workers: they share out what is left, where that is less than they would take.
        error: the standard error of the best score so far.
    """
    spec = config.search
    left = spec.trials - len(past.ended)
    rule = rule_over(config, labels)
    searcher = OptunaSearcher(
        config.space,
        spec.seed,
        budget=left,
        together=spec.together,
        first=search.warm_start["params"] if search.warm_start else (),
        past=past.trials,
    )
    limits: list[Limit] = []
    if spec.time_limit is not None:
        limits.append(TimeLimit(spec.time_limit, seconds_run(past.trials)))
    if spec.terminator is not None:
        limits.append(Terminator(spec, lambda: searcher.ended, error, config.space.kinds))
    return Dispatch(
        searcher,
        rule.replay(past.ended, past.log_probs),
        ledger,
        count=left,
        together=min(spec.together, math.ceil(left / max(1, workers))),
        watchers=watchers,
        limits=limits,
    )


def end_early(
    store: Store,
    search: SearchRecord,
    why: str,
    trials: int,
    listeners: Listeners | None = None,
) -> None:
    """Store why a search ended before its trials were spent. Of those that wait to begin again, the
    ones that had reported end where they were.

    Args:
        trials: how many it was to have.
        listeners: told of those that end.
    """
    found = store.trials(search.id)
    for trial in found:
        if not trial.ended and trial.rungs:
            store.finish_trial(search.id, trial.number, State.PRUNED)
            if listeners is not None:
                listeners.tell("trial_ended", TrialEnd.of(trial, State.PRUNED, search.direction))
    begun = sum(trial.ended or bool(trial.rungs) for trial in found)
    told = f"the search ended after {begun} of {trials} trials: {why}"
    store.update_search(search.id, versions=search.versions | {"ended": told})
