"""What stands beside the prompts: fitted once the trials are done, on a worker.

Nothing here ends a search: a baseline that fails is stored with the reason.
"""

from dataclasses import replace

import numpy as np

from autoprompt.controller.bagging import folds_of
from autoprompt.controller.executor import Executor
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.store import BaselineRecord, SearchRecord, Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.baselines import BASELINES, named
from autoprompt.workers.baselines.fitting import (
    Division,
    Fitted,
    fit_baselines,
    one_line,
    train_baseline,
)
from autoprompt.workers.job import Job
from autoprompt.workers.metrics import METRICS


def fit_missing(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
) -> None:
    """Fit the baselines that train no model, and judge them by the validation texts; those that the
    store has stay as they are. Where prompts learn from validation too, so do they, afterwards; and
    where they may vote beside prompts of folds, they are judged by the same folds."""
    names = [name for name in _missing(prepared, store, search) if BASELINES[name].does != "train"]
    if not names:
        return
    with progress.step(f"fitting {len(names)} baselines"):
        try:
            asked_for = [name for name in names if name in prepared.config.baselines]
            unseen, seed = len(prepared.splits.test), prepared.config.search.seed
            everything = prepared.config.bagging is not None
            fitted = executor.on_worker(
                fit_baselines,
                prepared.job,
                names,
                seed,
                unseen,
                asked_for,
                everything,
                _divisions(prepared),
            )
        except Exception as error:  # whatever Ray and models may raise
            fitted = [Fitted(name, 0.0, error=one_line(error)) for name in names]
    judge = _Judge(prepared)
    for one in fitted:
        _record(one, judge, one.seconds, store, search, progress)


def train_missing(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
) -> None:
    """The same of those that train a model, at each of their rates; what the best of these on
    validation answers to the test texts, without their labels, is kept in the place of the model.
    """
    judge, job = _Judge(prepared), prepared.job
    for name in _missing(prepared, store, search):
        if BASELINES[name].does != "train":
            continue
        rates = BASELINES[name].trained.rates
        tried = [
            _trained(prepared, job, name, rate, f"{number} of {len(rates)}", executor, progress)
            for number, rate in enumerate(rates, 1)
        ]
        best = max(tried, key=judge.rank)
        seconds = sum(one.seconds for one in tried)
        unseen, error = best.unseen, best.error
        if prepared.config.bagging is not None and error is None:
            both = replace(job, train=job.train.beside(job.validation))
            rate, what = best.settings["learning_rate"], "on all labelled texts"
            again = _trained(prepared, both, name, rate, what, executor, progress)
            unseen, error, seconds = again.unseen, again.error, seconds + again.seconds
        content = None if unseen is None else judge.answers.packed(unseen)
        best = replace(best, content=content, error=error)
        _record(best, judge, seconds, store, search, progress)


def _divisions(prepared: Prepared) -> list[Division]:
    """Those of bagging, where baselines vote beside its prompts; none where validation judges."""
    config, splits = prepared.config, prepared.splits
    if config.bagging is None or config.ensemble.members != "any":
        return []
    pool = splits.train.beside(splits.validation)
    folds = folds_of(pool.labels, config.bagging, config.search.seed, pool.groups)
    return [
        [folds[repeat, fold] for fold in range(1, config.bagging.folds + 1)]
        for repeat in range(1, config.bagging.repeats + 1)
    ]


def _trained(
    prepared: Prepared,
    job: Job,
    name: str,
    rate: float,
    what: str,
    executor: Executor,
    progress: SearchProgress,
) -> Fitted:
    """A model that is trained on one worker, or why it could not be."""
    texts, seed = prepared.splits.test.texts, prepared.config.search.seed
    with progress.step(f"training {name} at a rate of {rate:g}, {what}"):
        try:
            return executor.on_worker(train_baseline, job, name, rate, seed, texts)
        except Exception as error:  # whatever Ray and training may raise
            return Fitted(name, 0.0, error=one_line(error))


def of_search(prepared: Prepared, store: Store, search: SearchRecord) -> list[BaselineRecord]:
    """What the store has of the search's baselines, in the configuration's order."""
    known = {record.name: record for record in store.baselines(search.id)}
    return [known[name] for name in named(prepared.config.baselines) if name in known]


class _Judge:
    """What a validation text's answers are worth."""

    def __init__(self, prepared: Prepared) -> None:
        task = prepared.config.task
        self.answers, self._metric = answers_of(task), METRICS[task.metric]
        self._labels = self.answers.right(prepared.splits.validation.labels)

    def score(self, fitted: Fitted) -> float | None:
        """Oriented, infinitely bad where answers are no numbers; None of one that has failed."""
        if fitted.log_probs is None:
            return None
        if not self.answers.sound(fitted.log_probs):
            return -np.inf
        # Of all labelled texts, where folds judge them, the validation texts come last.
        said = fitted.log_probs[-len(self._labels) :]
        predicted = self._metric.predictions(said, self.answers.decided)
        return self._metric.direction.oriented(self._metric.score(self._labels, predicted))

    def rank(self, fitted: Fitted) -> tuple[float, float]:
        """The more, the better: by score, then by loss."""
        score = self.score(fitted)
        return (-np.inf, 0.0) if score is None else (score, -(fitted.loss or 0.0))


def _missing(prepared: Prepared, store: Store, search: SearchRecord) -> list[str]:
    """The baselines that are to be fitted; one that failed is tried again."""
    done = {record.name for record in store.baselines(search.id) if record.error is None}
    return [name for name in named(prepared.config.baselines) if name not in done]


def _record(
    fitted: Fitted,
    judge: _Judge,
    seconds: float,
    store: Store,
    search: SearchRecord,
    progress: SearchProgress,
) -> None:
    """Store a baseline, and say where it has failed."""
    score = judge.score(fitted)
    if fitted.error is None and (score is None or not np.isfinite(score)):
        fitted = replace(fitted, error="its answers to the validation texts are no numbers")
    if fitted.error is not None:
        progress.say(f"baseline {fitted.name}: {fitted.error}; the search goes on without it")
        fitted = Fitted(fitted.name, seconds, error=fitted.error)
        score = None
    store.record_baseline(
        search.id,
        fitted.name,
        settings=fitted.settings,
        score=score,
        loss=fitted.loss,
        seconds=seconds,
        shipped_bytes=fitted.shipped_bytes,
        content=fitted.content,
        log_probs=None if fitted.log_probs is None else judge.answers.packed(fitted.log_probs),
        error=fitted.error,
    )
