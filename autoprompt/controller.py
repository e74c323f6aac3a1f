"""The controller: Ray Tune runs the trials, the store keeps them, the test split comes last."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import ray
from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from safetensors.numpy import load as load_arrays

from autoprompt.cluster import Cluster, cluster
from autoprompt.early_stopping import AshaByKind
from autoprompt.ensemble import Floats, cast_votes, choose
from autoprompt.intervals import estimate, estimate_mean
from autoprompt.preparation import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.recorder import Recorder
from autoprompt.searcher import OptunaSearcher
from autoprompt.store import PromptRecord, SearchRecord, Store
from search_spaces.errors import SearchFailedError
from workers.prompt import Prompt
from workers.task import predictions
from workers.trial import TrialRunner, score_texts


def run_search(prepared: Prepared, store: Store, progress: SearchProgress) -> SearchRecord:
    """Run a prepared search to its end.

    Raises:
        SearchFailedError: no trial succeeded.
        BadInputError: its name is taken, or no Ray cluster can be had.
    """
    with ExitStack() as stack:
        with progress.step("starting Ray"):
            here = stack.enter_context(cluster(prepared.config.search))
        search = create_search(prepared, store)
        progress.say(f"search {search.id}: {search.name}")
        if here.dashboard:
            progress.say(f"Ray dashboard: {here.dashboard}")
        try:
            run_trials(prepared, store, search, here, progress)
            _conclude(prepared, store, search, here, progress)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            message = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            store.finish_search(search.id, "stopped" if stopped else "failed", message)
            raise
        store.finish_search(search.id, "finished")
    return store.find(str(search.id))


def create_search(prepared: Prepared, store: Store) -> SearchRecord:
    """The search's row, with all that says where its numbers will come from."""
    config = prepared.config
    return store.create_search(
        name=store.free_name(config.name or Path(config.source).stem),
        model=config.model.path,
        metric=config.task.metric,
        seed=config.search.seed,
        config=config.model_dump(mode="json", exclude={"store"}),
        versions=prepared.versions,
        data=prepared.splits.sizes | {"truncated": prepared.truncated},
        validation_labels=list(prepared.splits.validation.labels),
        ensemble=None,
    )


def run_trials(
    prepared: Prepared, store: Store, search: SearchRecord, here: Cluster, progress: SearchProgress
) -> None:
    """Dispatch the trials and store what they report, until the budget is spent."""
    config = prepared.config
    spec = config.search
    trainable = tune.with_resources(
        tune.with_parameters(TrialRunner, job=prepared.job), {"cpu": here.cpus, "gpu": here.gpus}
    )
    # Tune wants a folder for its own state; nothing in it outlives the search.
    scratch = tempfile.mkdtemp(prefix="autoprompt-")
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=OptunaSearcher(config.space, spec.seed),
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
            callbacks=[Recorder(store, search.id, progress)],
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        with progress.trials(spec.trials, spec.workers):
            tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _conclude(
    prepared: Prepared, store: Store, search: SearchRecord, here: Cluster, progress: SearchProgress
) -> None:
    """Choose the ensemble on validation, then open the test split, once."""
    counts = store.counts(search.id)
    ended = sum(counts.values()) - counts["running"]
    if counts["complete"] + counts["pruned"] == 0:
        failures = [trial for trial in store.trials(search.id) if trial.error]
        why = f"; trial {failures[0].number}: {failures[0].error}" if failures else ""
        raise SearchFailedError(f"every trial of search {search.name!r} failed{why}")
    if ended < prepared.config.search.trials:
        raise KeyboardInterrupt(f"stopped after {ended} trials")
    spec, labels = prepared.config.ensemble, prepared.splits.validation.labels
    chosen = choose(
        store.prompts(search.id), labels, prepared.config.task.metric, spec.size, spec.vote
    )
    members = chosen.members
    store.update_search(
        search.id,
        ensemble={
            "members": [member.number for member in members],
            "vote": chosen.vote,
            "validation": chosen.validation,
        },
    )
    store.open_split(search.id, "test")
    with progress.step(f"scoring {len(prepared.splits.test)} test texts"):
        log_probs = _score_test(prepared, members, here)
    store.record_evaluation(search.id, "test", _test_table(prepared, members, log_probs))


def _score_test(prepared: Prepared, members: Sequence[PromptRecord], here: Cluster) -> Floats:
    """Log-probabilities [1 + N, B, L] of the test texts: without a prompt first, then each member.

    The texts are shared out among as many workers as the search had.
    """
    job, texts = prepared.job, prepared.splits.test.texts
    prompts = [Prompt("").to_bytes(), *(member.content for member in members)]
    remote = ray.remote(num_cpus=here.cpus, num_gpus=here.gpus)(score_texts)
    parts = np.array_split(np.arange(len(texts)), prepared.config.search.workers)
    shared = ray.put(prompts)
    waiting = [
        remote.remote(
            job.model, job.task, job.longest_prompt, shared, [texts[place] for place in part]
        )
        for part in parts
        if len(part)
    ]
    found = [load_arrays(content)["log_probs"] for content in ray.get(waiting)]
    return np.concatenate(found, axis=1)


def _test_table(
    prepared: Prepared, members: Sequence[PromptRecord], log_probs: Floats
) -> dict[str, object]:
    """Scores on the test split with their intervals, as Lester et al. 2021 report them (table 3):
    the best single prompt, the members' mean, and the ensemble; and the template alone."""
    config = prepared.config
    metric = config.task.metric
    expected = np.array(prepared.splits.test.labels)
    alone, voters = log_probs[0], log_probs[1:]
    single = [predictions(each) for each in voters]
    ballot = cast_votes(voters, config.ensemble.vote, [member.score for member in members])
    return {
        "texts": len(expected),
        "no_prompt": estimate(metric, expected, predictions(alone)).as_dict(),
        "best": estimate(metric, expected, single[0]).as_dict(),
        "mean": estimate_mean(metric, expected, single).as_dict(),
        "ensemble": estimate(metric, expected, ballot.labels).as_dict(),
        "members": [estimate(metric, expected, each).as_dict() for each in single],
    }
