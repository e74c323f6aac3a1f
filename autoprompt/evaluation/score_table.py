"""Scores with their intervals: of each member, their mean, their vote, and the template alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autoprompt.statistics.intervals import estimate, estimate_mean
from autoprompt.store import PromptRecord
from autoprompt.workers.answers import Answers
from autoprompt.workers.combination import Combination
from autoprompt.workers.metrics import Metric
from autoprompt.workers.vote import Floats, disagreement_error_ratio


def scores_table(
    answers: Answers,
    metric: Metric,
    labels: Sequence[int],
    members: Sequence[PromptRecord],
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
    expected = np.array(labels)
    chosen = combination.voted(answers, log_probs).labels
    judged = combination.judged(answers, metric, log_probs)
    choices = [metric.predictions(rows, answers.decided) for rows in log_probs]
    each_member = [
        estimate(metric, expected, predicted).as_dict()
        | {"number": member.number, "fold": member.fold}
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
        "disagreement_error_ratio": disagreement_error_ratio(answers.decided(log_probs), expected),
        "confusion": _confusion(expected, chosen, log_probs.shape[-1]),
    }


def held_out_table(
    answers: Answers,
    metric: Metric,
    labels: Sequence[int],
    best: PromptRecord,
    members: Sequence[PromptRecord],
    combination: Combination,
    log_probs: Floats,
) -> dict[str, Any]:
    """What the search's answers score on texts that it never saw, beside the template alone.

    Args:
        log_probs: [2 + N, B, L]: without a prompt, of the best one, of each member.
    """
    expected = np.array(labels)
    alone, single = (
        estimate(metric, expected, metric.predictions(rows, answers.decided))
        for rows in log_probs[:2]
    )
    return {
        **scores_table(answers, metric, labels, members, combination, log_probs[2:]),
        "no_prompt": alone.as_dict(),
        "best": single.as_dict() | {"number": best.number},
    }


def _confusion(expected: Any, predicted: Any, labels: int) -> list[list[int]]:
    """[L, L], rows what is right and columns what the vote says."""
    counts = np.zeros((labels, labels), dtype=int)
    np.add.at(counts, (expected, predicted), 1)
    rows: list[list[int]] = counts.tolist()
    return rows
