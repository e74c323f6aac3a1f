"""Scores with their intervals: of each member, their mean, their vote, and the template alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.evaluation.baseline_table import tested_baselines
from autoprompt.evaluation.probability_scores import probability_scores
from autoprompt.statistics.abstention import Abstention
from autoprompt.statistics.intervals import estimate, estimate_mean
from autoprompt.store import BaselineRecord, Candidate, PromptRecord
from autoprompt.workers.agreement import disagreement_error_ratio
from autoprompt.workers.answers import Answers, Right
from autoprompt.workers.combination import Combination
from autoprompt.workers.metric_functions import Labels
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.recalibration import Recalibration
from autoprompt.workers.vote import Floats


def scores_table(
    answers: Answers,
    metric: Metric,
    labels: Sequence[Right],
    members: Sequence[Candidate],
    combination: Combination,
    log_probs: Floats,
) -> dict[str, Any]:
    """The members' scores on B texts, as Lester et al. 2021 report them (table 3).

    Args:
        answers: how each of them decides.
        labels: [B], what is right.
        combination: how the N members vote.
        log_probs: [N, B, L].
    """
    expected = answers.right(labels)
    chosen = combination.voted(answers, log_probs)
    judged = combination.judged(answers, metric, log_probs)
    choices = [metric.predictions(rows, answers.decided) for rows in log_probs]
    each_member = [
        estimate(metric, expected, predicted).as_dict()
        | {"number": member.number, "fold": member.fold, "baseline": member.baseline}
        for member, predicted in zip(members, choices, strict=True)
    ]
    return {
        "metric": metric.name,
        "texts": len(expected),
        "mean": estimate_mean(metric, expected, choices).as_dict(),
        "best_member": max(
            each_member, key=lambda member: metric.direction.oriented(member["score"])
        ),
        "ensemble": estimate(metric, expected, judged).as_dict(),
        "members": each_member,
        "disagreement_error_ratio": disagreement_error_ratio(
            answers, answers.decided(log_probs), expected
        ),
        "confusion": _confusion(expected, chosen, log_probs.shape[-1])
        if answers.categorical
        else None,
    }


def held_out_table(
    answers: Answers,
    metric: Metric,
    labels: Sequence[Right],
    best: PromptRecord,
    members: Sequence[Candidate],
    combination: Combination,
    log_probs: Floats,
    own: Recalibration | None = None,
    abstention: Abstention | None = None,
    baselines: Sequence[BaselineRecord] = (),
    others: Sequence[Floats | None] = (),
) -> dict[str, Any]:
    """What the search's answers score on texts that it never saw, beside the template alone and the
    baselines.

    Args:
        own: of the best prompt's probabilities.
        abstention: when the vote gives no answer.
        log_probs: [2 + N, B, L]: without a prompt, of the best one, of each member.
        others: of each baseline [B, L]; None of one that answered nothing.
    """
    expected = answers.right(labels)
    said = [log_probs[0], log_probs[1] if own is None else own(log_probs[1])]
    # A temperature and biases are for probabilities; what is decided stays as it was.
    judged = said if metric.needs == "probabilities" else log_probs[:2]
    predicted = [metric.predictions(rows, answers.decided) for rows in judged]
    alone, single = (estimate(metric, expected, own) for own in predicted)
    voted = combination.judged(answers, metric, log_probs[2:])
    probabilities = {}
    if answers.categorical:
        probabilities = {
            "no_prompt": np.exp(said[0], dtype=np.float64),
            "best": np.exp(said[1], dtype=np.float64),
            "ensemble": combination.probabilities(answers, log_probs[2:]),
        }
    return {
        **scores_table(answers, metric, labels, members, combination, log_probs[2:]),
        "no_prompt": alone.as_dict(),
        "best": single.as_dict() | {"number": best.number, "fold": best.fold},
        "probabilities": {
            name: probability_scores(expected, rows) for name, rows in probabilities.items()
        },
        "abstain": abstention
        and abstained(answers, expected, combination, log_probs[2:], abstention),
        "baselines": tested_baselines(
            answers, metric, labels, baselines, others, predicted[1], voted
        ),
    }


def abstained(
    answers: Answers,
    expected: Labels,
    combination: Combination,
    log_probs: Floats,
    abstention: Abstention,
) -> dict[str, Any]:
    """What a vote that may give no answer does on B texts: the threshold, the part that is answered
    (`coverage`) and the part of these answers that is wrong (`error`), with their intervals.

    Args:
        log_probs: [N, B, L], of the members.
    """
    sure, right = sureness(answers, expected, combination, log_probs)
    answered = sure >= abstention.threshold
    accuracy = METRICS["accuracy"]
    coverage = estimate(accuracy, np.ones_like(expected), answered.astype(int))
    table = {"rule": abstention.as_dict(), "texts": len(expected), "coverage": coverage.as_dict()}
    if not answered.any():
        return table | {"error": None}
    wrong = (~right[answered]).astype(int)
    return table | {"error": estimate(accuracy, np.ones_like(wrong), wrong).as_dict()}


def sureness(
    answers: Answers, expected: Labels, combination: Combination, log_probs: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Of B texts the probability of the answer that is voted for, and whether it is right.

    Args:
        log_probs: [N, B, L], of the members.
    """
    voted = combination.voted(answers, log_probs)
    probabilities = combination.probabilities(answers, log_probs)
    return answers.probability(probabilities, voted), answers.correct(voted, expected)


def _confusion(expected: Any, predicted: Any, labels: int) -> list[list[int]]:
    """[L, L], rows what is right and columns what the vote says."""
    counts = np.zeros((labels, labels), dtype=int)
    np.add.at(counts, (expected, predicted), 1)
    rows: list[list[int]] = counts.tolist()
    return rows
