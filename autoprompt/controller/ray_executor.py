"""Plans carried out by actors on a Ray cluster, which Ray Tune starts, feeds and replaces."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    PlacementGroupFactory,
    RunConfig,
    TuneConfig,
    TuneError,
    Tuner,
)
from safetensors.numpy import load as load_arrays

from autoprompt.controller.callbacks.prometheus import SearchMetrics
from autoprompt.controller.callbacks.watchdog import Watchdog
from autoprompt.controller.dispatch import Dispatch, Watcher
from autoprompt.controller.executor import Executor
from autoprompt.controller.interruption import Interruption
from autoprompt.controller.ray_cluster import Cluster
from autoprompt.controller.tune_adapters import TuneCallback, TuneScheduler, TuneSearcher
from autoprompt.progress import SearchProgress
from autoprompt.quiet import quiet
from autoprompt.search_spec import SearchSpec
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.job import Job
from autoprompt.workers.rows import Text
from autoprompt.workers.trial import (
    TrialRunner,
    on_worker_task,
    on_workers_task,
    score_texts_task,
)
from autoprompt.workers.vote import Floats

R = TypeVar("R")


class RayExecutor(Executor):
    """Workers on a Ray cluster.

    Args:
        trainable: what carries out plans; it is set up with `config` and `job`, and its results
            hold a `Step`, as those of `TrialRunner` do.
    """

    def __init__(
        self,
        cluster: Cluster,
        spec: SearchSpec,
        progress: SearchProgress,
        trainable: type[tune.Trainable] = TrialRunner,
    ) -> None:
        self.workers = cluster.workers
        self.gpus = cluster.needs.get("GPU", 0.0)
        self.dashboard = cluster.dashboard
        self._cluster = cluster
        self._spec = spec
        self._progress = progress
        self._trainable = trainable

    def watchers(self, store: Store, search: SearchRecord) -> list[Watcher]:
        return [SearchMetrics(store, search, self._spec.trials)]

    def run(self, dispatch: Dispatch, job: Job, name: str) -> bool:
        spec = self._spec
        interruption = Interruption(self._progress)
        watchdog = Watchdog(
            spec.hung_after_seconds, interruption, lambda: dispatch.error is not None
        )
        searcher = TuneSearcher(dispatch)
        # Tune wants a folder for its own state; nothing in it outlives the run.
        scratch = tempfile.mkdtemp(prefix="autoprompt-")
        tuner = Tuner(
            tune.with_resources(
                tune.with_parameters(self._trainable, job=job),
                PlacementGroupFactory([self._cluster.needs]),
            ),
            tune_config=TuneConfig(
                search_alg=searcher,
                scheduler=TuneScheduler(dispatch, searcher),
                num_samples=dispatch.tasks,
                max_concurrent_trials=None if spec.workers == "auto" else spec.workers,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: f"trial-{trial.config['trials'][0]['number']}",
            ),
            run_config=RunConfig(
                name=name,
                storage_path=scratch,
                verbose=0,
                callbacks=[TuneCallback(dispatch, searcher, watchdog), watchdog],
                stop=watchdog,
                failure_config=FailureConfig(max_failures=spec.attempts - 1),
                # Else an ended trial has its worker save nothing, and begins again if that dies.
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            # At a run's end Tune calls failed trials by names of its own; we said which and why.
            with interruption.listening(), quiet("ray.tune.tune", logging.CRITICAL):
                tuner.fit()
        except TuneError:
            if dispatch.error is None:
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if dispatch.error is not None:
            raise dispatch.error from None
        return not interruption.requested

    def on_worker(self, function: Callable[..., R], *arguments: Any) -> R:
        remote = ray.remote(**self._cluster.options)(on_worker_task)
        try:
            found: R = ray.get(remote.remote(function, *arguments))
        except RayTaskError as error:
            raise error.cause from None
        return found

    def on_workers(
        self, function: Callable[..., Iterator[R]], calls: Sequence[Sequence[Any]]
    ) -> Iterator[R]:
        options = self._cluster.options | {"num_returns": "streaming"}
        remote = ray.remote(**options)(on_workers_task)
        waiting = [remote.remote(function, *arguments) for arguments in calls]
        try:
            while waiting:
                [ready], _ = ray.wait(waiting)
                try:
                    yield ray.get(next(ready))
                except StopIteration:
                    waiting = [call for call in waiting if call is not ready]
        except RayTaskError as error:
            raise error.cause from None
        finally:
            for call in waiting:
                ray.cancel(call)

    def score_texts(
        self,
        job: Job,
        prompts: Sequence[bytes],
        texts: Sequence[Text],
        baselines: Sequence[tuple[str, bytes]] = (),
    ) -> Floats:
        """The texts are shared out among as many workers as trials had."""
        remote = ray.remote(**self._cluster.options)(score_texts_task)
        shared_job, shared_prompts = ray.put(job), ray.put(list(prompts))
        shared_baselines = ray.put(list(baselines))
        parts = np.array_split(np.arange(len(texts)), self.workers)
        waiting = [
            remote.remote(
                shared_job, shared_prompts, [texts[place] for place in part], shared_baselines
            )
            for part in parts
            if len(part)
        ]
        scored = [load_arrays(content)["log_probs"] for content in ray.get(waiting)]
        return np.concatenate(scored, axis=1)
