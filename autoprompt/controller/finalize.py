"""How a search concludes: finalists are confirmed, the best prompt and the ensemble are chosen on
validation, and then the test split is opened."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autoprompt.callbacks import Conclusion
from autoprompt.controller.bagging import bag
from autoprompt.controller.baselines import fit_missing, of_search, train_missing
from autoprompt.controller.executor import Executor
from autoprompt.controller.judge_unranked import judge_unranked
from autoprompt.controller.retrain_finalists import confirm
from autoprompt.controller.score_test import score_test
from autoprompt.ensemble.selection import Chosen, choose
from autoprompt.evaluation.baseline_table import verdicts
from autoprompt.evaluation.candidates import CANDIDATES, beside_baselines
from autoprompt.evaluation.finalists import finalists
from autoprompt.evaluation.held_out_answers import HeldOutAnswers
from autoprompt.evaluation.held_out_log import open_texts
from autoprompt.evaluation.out_of_fold import out_of_fold
from autoprompt.evaluation.score_table import abstained, held_out_table, sureness
from autoprompt.evaluation.score_warnings import (
    abstention_warnings,
    lead_warnings,
    luck_warnings,
    overfit_warnings,
)
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import SearchFailedError
from autoprompt.search_spec import AbstainSpec
from autoprompt.statistics.abstention import Abstention, abstention
from autoprompt.store import PromptRecord, SearchRecord, State, Store
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.blocks import stratified
from autoprompt.workers.combination import Combination
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.model_loading import read_tokenizer
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.recalibration import Recalibration, recalibration
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
    ended = store.find(str(search.id)).versions.get("ended")
    counts = store.counts(search.id)
    if counts[State.COMPLETE] + counts[State.PRUNED] == 0:
        failures = [trial for trial in store.trials(search.id) if trial.error]
        if ended and not failures:
            raise SearchFailedError(f"search {search.name!r} has no trial with a score: {ended}")
        why = f"; trial {failures[0].number}: {failures[0].error}" if failures else ""
        raise SearchFailedError(f"every trial of search {search.name!r} failed{why}")
    judge_unranked(prepared, store, search, executor, progress)
    config = prepared.config
    if config.confirm is not None:
        confirm(prepared, store, search, executor, progress)
    if config.bagging is not None:
        bag(prepared, store, search, executor, progress)
    confirmed = finalists(store, search.id)
    candidates = store.prompts(search.id, limit=CANDIDATES)
    by_number = {candidate.number: candidate for candidate in candidates}
    best = by_number[confirmed[0].number] if confirmed else candidates[0]
    labels = prepared.splits.validation.labels
    answers, metric = answers_of(config.task), METRICS[config.task.metric]
    bagged = _bagged(prepared, store, search, progress)
    fit_missing(prepared, store, search, executor, progress)
    if bagged and config.bagging is not None and config.bagging.refit:
        best = by_number[bagged[0].number]
    chosen = _chosen(prepared, store, search, candidates, bagged)
    warnings = [ended] if ended else []
    warnings += lead_warnings(answers, metric, labels, best, candidates, confirmed)
    warnings += luck_warnings(metric, confirmed)
    row = chosen.as_row() | {"bagged": bool(bagged)}
    rule = _estimated(config.abstain, chosen)
    warnings += abstention_warnings(rule)
    own = _recalibrated(prepared, store, search, best, bagged) if answers.categorical else None
    store.update_search(
        search.id,
        best=best.number,
        ensemble=row | {"abstain": rule and rule.as_dict()},
        calibration=own and own.as_dict(),
        warnings=warnings,
    )
    # As they are read from the store: what is scored is what will label texts.
    stored = StoredSearch(store, store.find(str(search.id)))
    ensemble, best = stored.ensemble, stored.best_prompt
    test = prepared.splits.test
    opening = open_texts(store, search, "test", test, "search", progress)
    train_missing(prepared, store, search, executor, progress)
    beside = of_search(prepared, store, search)
    with progress.step(f"scoring {len(test)} test texts"):
        log_probs, others = score_test(prepared, [best, *ensemble.members], beside, executor)
    combination = ensemble.combination
    tested = held_out_table(
        answers,
        metric,
        test.labels,
        best,
        ensemble.members,
        combination,
        log_probs,
        own,
        rule,
        beside,
        others,
    )
    if config.abstain is not None and config.abstain.confidence is not None:
        rule, told = _guaranteed(config.abstain, answers, test.labels, combination, log_probs[2:])
        tested["abstain"] = told
        warnings += abstention_warnings(rule)
        store.update_search(search.id, ensemble=row | {"abstain": rule.as_dict()})
    judged = by_number[best.number]
    warnings += overfit_warnings(
        answers, metric, labels, judged, ensemble.scores, tested, chosen.halves, ensemble.judged_on
    )
    answered = HeldOutAnswers.of(answers, test.labels, combination, log_probs, own)
    store.record_evaluation(search.id, opening, tested, answered.packed(answers))
    store.update_search(search.id, warnings=warnings)
    for verdict in verdicts(tested, metric.direction):
        progress.say(verdict)
    for warning in warnings:
        progress.say(f"warning: {warning}")


def conclusion_of(store: Store, search: SearchRecord) -> Conclusion:
    """What a search that has concluded found, for those who listen to it."""
    stored = StoredSearch(store, store.find(str(search.id)))
    best, record = stored.best, stored.best_prompt
    assert best.score is not None
    tokenizer, _ = read_tokenizer(stored.config.model)
    asked: tuple[int | None, str | None] = (None, None)
    hard = next((trial.number for trial in stored.leaderboard if trial.kind == "hard"), None)
    if hard is not None:
        [words] = stored.prompts([hard])
        asked = hard, Prompt.from_bytes(words.content).question(tokenizer)
    return Conclusion(best.number, best.score, record.text, record.content, *asked, stored.test)


def choose_for_now(prepared: Prepared, store: Store, search: SearchRecord) -> None:
    """An ensemble of what a stopped search has found, for predictions until it is resumed."""
    candidates = store.prompts(search.id, limit=CANDIDATES)
    if candidates:
        chosen = _chosen(prepared, store, search, candidates, [])
        store.update_search(search.id, best=candidates[0].number, ensemble=chosen.as_row())


def _chosen(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    candidates: Sequence[PromptRecord],
    bagged: Sequence[PromptRecord],
) -> Chosen:
    """The ensemble among the finalists that were carried out on folds, by what the prompts of their
    folds say; without any, among the trials' own prompts, by validation; and among the baselines
    where these may vote."""
    spec, task = prepared.config.ensemble, prepared.config.task
    answers, metric = answers_of(task), METRICS[task.metric]
    labels = prepared.splits.validation.labels if not bagged else store.labelled(search.id)
    baselines = of_search(prepared, store, search) if spec.members == "any" else []
    voters = beside_baselines(bagged or candidates, baselines, labels, answers, metric)
    asked = (spec.size, spec.vote, spec.select)
    return choose(voters, labels, answers, metric, *asked, bagged=bool(bagged))


def _bagged(
    prepared: Prepared, store: Store, search: SearchRecord, progress: SearchProgress
) -> list[PromptRecord]:
    """The finalists that were carried out on folds, best first; none where none were."""
    if prepared.config.bagging is None:
        return []
    task = prepared.config.task
    labels = store.labelled(search.id)
    found = out_of_fold(store, search.id, labels, answers_of(task), METRICS[task.metric])
    if not found:
        progress.say("a fold of every finalist failed: the trials' own prompts vote")
    return found


def _estimated(spec: AbstainSpec | None, chosen: Chosen) -> Abstention | None:
    """From which probability on the ensemble answers, estimated on the texts that chose it."""
    if spec is None or spec.confidence is not None:
        return None
    answers, expected = chosen.answers, chosen.answers.right(chosen.labels)
    sure, right = sureness(answers, expected, chosen.combination, chosen.log_probs)
    return abstention(sure, right, spec.error)


def _guaranteed(
    spec: AbstainSpec,
    answers: Answers,
    labels: Sequence[int],
    combination: Combination,
    log_probs: Floats,
) -> tuple[Abstention, dict[str, Any]]:
    """The same with a guarantee, from a half of the test texts, which chose nothing, and what it
    does on the other half.

    Args:
        log_probs: [N, B, L], of the members.
    """
    order = stratified(answers.divided(labels), seed=0)
    first, second = (np.array(sorted(order[start::2])) for start in (0, 1))
    expected = answers.right(labels)
    sure, right = sureness(answers, expected[first], combination, log_probs[:, first])
    rule = abstention(sure, right, spec.error, spec.confidence)
    return rule, abstained(answers, expected[second], combination, log_probs[:, second], rule)


def _recalibrated(
    prepared: Prepared,
    store: Store,
    search: SearchRecord,
    best: PromptRecord,
    bagged: Sequence[PromptRecord],
) -> Recalibration:
    """How the best prompt's probabilities are recalibrated: by what its folds say, where they
    do."""
    folds = next((own for own in bagged if own.number == best.number), None)
    labels = prepared.splits.validation.labels if folds is None else store.labelled(search.id)
    answers = answers_of(prepared.config.task)
    return recalibration(answers.unpacked((folds or best).log_probs), labels, answers.biased)
