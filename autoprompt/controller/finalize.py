"""How a search concludes: finalists are confirmed, the best prompt and the ensemble are chosen on
validation, and then the test split is opened."""

from collections.abc import Sequence

from autoprompt.controller.executor import Executor
from autoprompt.controller.judge_unranked import judge_unranked
from autoprompt.controller.retrain_finalists import confirm
from autoprompt.ensemble.selection import choose
from autoprompt.evaluation.candidates import CANDIDATES
from autoprompt.evaluation.finalists import finalists
from autoprompt.evaluation.held_out_log import open_texts
from autoprompt.evaluation.score_table import held_out_table, scores_table
from autoprompt.evaluation.score_warnings import lead_warnings, luck_warnings, overfit_warnings
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import SearchFailedError
from autoprompt.store import PromptRecord, SearchRecord, State, Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.vote import Floats


def conclude(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    executor: Executor,
    progress: SearchProgress,
) -> None:
    """Name the best prompt, choose the ensemble, and score both on the test split.

    What was decided is in the store before the test split is opened, and decided the same when
    this is run again, so a search that was killed here may conclude once more; the second opening
    of its test split is recorded as one.

    Raises:
        SearchFailedError: no trial succeeded.
        KeyboardInterrupt: stopped before all finalists were done.
    """
    counts = store.counts(search.id)
    if counts[State.COMPLETE] + counts[State.PRUNED] == 0:
        failures = [trial for trial in store.trials(search.id) if trial.error]
        why = f"; trial {failures[0].number}: {failures[0].error}" if failures else ""
        raise SearchFailedError(f"every trial of search {search.name!r} failed{why}")
    judge_unranked(prepared, store, search, executor, progress)
    config = prepared.config
    if config.confirm is not None:
        confirm(prepared, store, search, executor, progress)
    confirmed = finalists(store, search.id)
    candidates = store.prompts(search.id, limit=CANDIDATES)
    by_number = {candidate.number: candidate for candidate in candidates}
    best = by_number[confirmed[0].number] if confirmed else candidates[0]
    spec, labels = config.ensemble, prepared.splits.validation.labels
    answers, metric = answers_of(config.task), METRICS[config.task.metric]
    chosen = choose(candidates, labels, answers, metric, spec.size, spec.vote, spec.select)
    warnings = lead_warnings(answers, metric, labels, best, candidates, confirmed)
    warnings += luck_warnings(metric, confirmed)
    store.update_search(search.id, best=best.number, ensemble=chosen.as_row(), warnings=warnings)
    test = prepared.splits.test
    opening = open_texts(store, search, "test", test, "search", progress)
    with progress.step(f"scoring {len(test)} test texts"):
        log_probs = _score_test(prepared, [best, *chosen.members], executor)
    members, weights = chosen.members, chosen.weights
    tested = held_out_table(answers, metric, test.labels, best, members, weights, log_probs)
    validated = scores_table(answers, metric, labels, members, weights, chosen.log_probs)
    warnings += overfit_warnings(answers, metric, labels, best, validated, tested, chosen.halves)
    store.record_evaluation(search.id, opening, tested)
    store.update_search(search.id, warnings=warnings)
    for warning in warnings:
        progress.say(f"warning: {warning}")


def choose_for_now(prepared: Prepared, store: Store, search: SearchRecord) -> None:
    """An ensemble of what a stopped search has found, for predictions until it is resumed."""
    candidates = store.prompts(search.id, limit=CANDIDATES)
    if candidates:
        spec, labels = prepared.config.ensemble, prepared.splits.validation.labels
        task = prepared.config.task
        answers, metric = answers_of(task), METRICS[task.metric]
        chosen = choose(candidates, labels, answers, metric, spec.size, spec.vote, spec.select)
        store.update_search(search.id, best=candidates[0].number, ensemble=chosen.as_row())


def _score_test(prepared: Prepared, prompts: Sequence[PromptRecord], executor: Executor) -> Floats:
    """Log-probabilities [1 + N, B, L] of the test texts: without a prompt, then with each."""
    contents = [Prompt("").to_bytes(), *(prompt.content for prompt in prompts)]
    # The best one usually votes too; it is scored once.
    distinct = list(dict.fromkeys(contents))
    log_probs = executor.score_texts(prepared.job, distinct, prepared.splits.test.texts)
    return log_probs[[distinct.index(content) for content in contents]]
