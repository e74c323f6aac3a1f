"""Baselines on the texts that tested the prompts, and what there is to say of them."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from autoprompt.statistics.intervals import estimate
from autoprompt.statistics.significance import SIGNIFICANT, paired_p
from autoprompt.store import BaselineRecord
from autoprompt.workers.answers import Answers
from autoprompt.workers.direction import Direction
from autoprompt.workers.metrics import Metric
from autoprompt.workers.vote import Floats

_ESTIMATE = ("score", "low", "high", "method")


def tested_baselines(
    answers: Answers,
    metric: Metric,
    labels: Sequence[int],
    baselines: Sequence[BaselineRecord],
    log_probs: Sequence[Floats | None],
    best: NDArray[Any],
    ensemble: NDArray[Any],
) -> list[dict[str, Any]]:
    """A row for each baseline, as the store keeps them with the test's scores.

    Args:
        labels: [B], what is right.
        log_probs: of each baseline [B, L]; None of one that answered nothing.
        best, ensemble: what the metric judges of the best prompt and of the vote, [B] or [B, L].

    Returns:
        Of each its `name`, `settings`, `seconds`, `shipped_bytes` and `error`; its score on
        `validation`; on test `score`, `low`, `high` and the interval's `method`, and `p` of being
        as good as the best prompt (`p_ensemble`: as the ensemble), by a paired `test`; None for
        what there is not.
    """
    expected = answers.right(labels)
    rows = []
    for record, own in zip(baselines, log_probs, strict=True):
        row = baseline_row(record, metric.direction)
        if own is not None and answers.sound(own):
            predicted = metric.predictions(own, answers.decided)
            row |= estimate(metric, expected, predicted).as_dict()
            row["p"], row["test"] = paired_p(metric, expected, predicted, best)
            row["p_ensemble"], _ = paired_p(metric, expected, predicted, ensemble)
        elif own is not None:
            row["error"] = "its answers to the test texts are no numbers"
        rows.append(row)
    return rows


def baseline_row(record: BaselineRecord, direction: Direction) -> dict[str, Any]:
    """What is known of a baseline before the test split was opened; scores to show."""
    return {
        "name": record.name,
        "settings": record.settings,
        "validation": None if record.score is None else direction.natural(record.score),
        **dict.fromkeys((*_ESTIMATE, "p", "p_ensemble", "test")),
        "seconds": record.seconds,
        "shipped_bytes": record.shipped_bytes,
        "error": record.error,
    }


def verdicts(tested: dict[str, Any] | None, direction: Direction) -> list[str]:
    """A sentence for what the baselines say of the prompts: which of them are better than these,
    and which do as well as far as these texts can tell.

    Args:
        tested: the test split's scores; None before it was opened.
    """
    rows = [row for row in (tested or {}).get("baselines", ()) if row["score"] is not None]
    if tested is None or not rows:
        return []
    found = []
    sides = [("the best prompt", "best", "p")]
    if len(tested["members"]) > 1:
        sides.append(("the ensemble", "ensemble", "p_ensemble"))
    texts = tested["texts"]
    for name, key, p in sides:
        bar = tested[key]["score"]
        ahead = [
            row
            for row in rows
            if row[p] < SIGNIFICANT and direction.oriented(row["score"] - bar) > 0
        ]
        level = [row for row in rows if row[p] >= SIGNIFICANT]
        if ahead:
            said, verb = _listed(ahead), "are" if ahead[1:] else "is"
            found.append(f"{said} {verb} better than {name} ({bar:.4f}) on these {texts} texts")
        if level:
            said, verb = _listed(level), "do" if level[1:] else "does"
            found.append(
                f"{said} {verb} as well as {name} ({bar:.4f}), as far as {texts} texts can tell"
            )
    return found


def _listed(rows: Sequence[dict[str, Any]]) -> str:
    """Baselines by name, each with its score."""
    said = [f"{row['name'].replace('_', ' ')} ({row['score']:.4f})" for row in rows]
    return " and ".join([", ".join(said[:-1]), said[-1]] if said[1:] else said)
