"""A search of which no trial was judged by all validation texts: the best of those that a part of
them judged are judged by all, so that there is something to choose from."""

from autoprompt.controller.executor import Executor
from autoprompt.evaluation.candidates import CANDIDATES, best_distinct
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.metrics import METRICS

#: As many as a vote may choose from by itself.
_MOST = 9


def judge_unranked(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
) -> None:
    """Nothing where a trial has a score: trials stopped on a part of the texts neither rank nor
    vote. Else those that would have reached their end failed, and the best of the others take
    their place; their losses stay those of the part."""
    if store.best_score(search.id) is not None:
        return
    prompts = best_distinct(store.unranked_prompts(search.id, CANDIDATES), _MOST)
    validation, task = prepared.splits.validation, prepared.config.task
    answers, metric = answers_of(task), METRICS[task.metric]
    labels = answers.right(validation.labels)
    with progress.step(f"judging {len(prompts)} prompts by all {len(validation)} validation texts"):
        contents = [prompt.content for prompt in prompts]
        log_probs = executor.score_texts(prepared.job, contents, validation.texts)
    for prompt, scores in zip(prompts, log_probs, strict=True):
        score = metric.score(labels, metric.predictions(scores, answers.decided))
        oriented = metric.direction.oriented(score)
        packed = answers.packed(scores)
        store.rank_trial(search.id, prompt.number, oriented, prompt.loss, packed)
