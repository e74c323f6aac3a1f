"""Evaluation elsewhere: a search's answers on labelled texts of another domain (Lester et al. 2021,
section 5), beside the template alone."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.evaluation.asked_together import AskedTogether
from autoprompt.evaluation.held_out_answers import HeldOutAnswers
from autoprompt.evaluation.held_out_log import open_texts
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.evaluation.retrained import Retrained
from autoprompt.evaluation.score_table import held_out_table
from autoprompt.progress import SearchProgress
from autoprompt.search_answers import answers_in, metric_of
from autoprompt.search_model import model_of
from autoprompt.search_spaces.errors import DataError
from autoprompt.statistics.abstention import Abstention
from autoprompt.store import Candidate, PromptRecord, SearchRecord, Store
from autoprompt.workers.combination import Combination
from autoprompt.workers.data import Split, read_labelled
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.recalibration import Recalibration
from autoprompt.workers.score_texts import score_beside
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.vote import check_vote


def evaluate(
    store: Store,
    search: SearchRecord,
    best: PromptRecord,
    members: Sequence[Candidate],
    combination: Combination,
    source: str,
    *,
    abstention: Abstention | None = None,
    text: str | None = None,
    label: str | None = None,
    metric: str | None = None,
    retrain: bool = False,
    progress: SearchProgress,
) -> dict[str, Any]:
    """Score the best prompt, the members, their vote, the template alone and the baselines, and
    store it.

    Nothing is stored unless the data and the model can be read. The opening is stored before the
    first text is scored, and stays without scores where this is interrupted.

    Args:
        combination: how the N members vote.
        abstention: when their vote gives no answer.
        source: a file, or a Hub id.
        text, label: the columns, where they are not called as in the search; `text` is of a
            template that reads one column, or its {text}.
        metric: another one than the search's.
        retrain: train the baselines again that keep no model, at the rate that was best, to have
            them answer here, too.

    Raises:
        DataError: a missing file or column, another label than the search's, or a metric that
            these texts cannot be judged by; or to train, and the search's texts are gone.
        ModelError: the model is no longer where it was, or is another one now.
        AutopromptError: a baseline that votes does not answer these texts.
    """
    config = SearchConfig.model_validate(search.config)
    answers = answers_in(search)
    labels = answers.names
    judge = METRICS[metric] if metric else metric_of(search)
    if search.ensemble:
        check_vote(search.ensemble["vote"], judge, "choose one of labels, such as accuracy")
    with progress.step(f"reading {source}"):
        reader = config.data.reader(config.columns_in(text), answers, label)
        split = read_labelled(source, reader, config.data.subset)
    if answers.categorical:
        _check(judge, split, labels, source)
    seen = _seen(split, search)
    if seen:
        progress.say(
            f"note: {seen} of these {len(split)} texts are in the search's own train or validation "
            "split; its prompts were made or chosen by them"
        )
    trained_again = Retrained(search, store.baselines(search.id) if retrain else (), progress)
    with progress.step("loading the model"):
        scorer = load_scorer(model_of(search), config.task, config.space.longest_prompt())
    earlier = len([opening for opening in store.evaluations(search.id) if opening.source == source])
    opening = open_texts(store, search, source, split, "evaluate", progress)
    beside = [record for record in store.baselines(search.id) if record.error is None]
    asked = AskedTogether([best, *members], beside)
    prompts = list(map(Prompt.from_bytes, asked.prompts))
    with (
        progress.step(f"scoring {len(split)} texts"),
        progress.counting("texts scored", len(split)) as advance,
    ):
        scored = score_beside(scorer, prompts, asked.fitted, split.texts, advance).numpy()
    log_probs, others = asked.told(scored, trained_again.answers(split.texts))
    if scorer.truncated:
        progress.say(f"{scorer.truncated} texts were longer than the model takes: ends cut off")
    own = Recalibration.from_dict(search.calibration) if search.calibration else None
    table = held_out_table(
        answers,
        judge,
        split.labels,
        best,
        members,
        combination,
        log_probs,
        own,
        abstention,
        beside,
        others,
    ) | {"labels": list(labels), "truncated": scorer.truncated, "seen": seen}
    if judge.name != search.metric:  # what they scored on validation is another metric's
        table["baselines"] = [row | {"validation": None} for row in table["baselines"]]
    answered = HeldOutAnswers.of(answers, split.labels, combination, log_probs, own)
    store.record_evaluation(search.id, opening, table, answered.packed(answers))
    return {"search": search.name, "data": source, "opening": earlier + 1, **table}


def _seen(split: Split, search: SearchRecord) -> int | None:
    """How many of the texts the search learnt from or chose by; None where its data is gone."""
    try:
        splits = splits_of(search)
    except DataError:
        return None
    return len({*splits.train.texts, *splits.validation.texts} & set(split.texts))


def _check(metric: Metric, split: Split, labels: Sequence[str], source: str) -> None:
    """A mean over labels takes texts of every label."""
    counts = Counter(split.labels)
    missing = [name for number, name in enumerate(labels) if not counts[number]]
    if metric.every_label and missing:
        raise DataError(
            f"{source}: {metric.name} is a mean over all labels, and no text is labelled "
            f"{missing[0]!r}; --metric accuracy applies"
        )
