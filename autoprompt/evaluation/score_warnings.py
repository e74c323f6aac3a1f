"""What a reader of a search's scores should be warned of, a sentence each."""

from collections.abc import Sequence
from typing import Any

import scipy
from numpy.typing import NDArray

from autoprompt.evaluation.candidates import best_distinct
from autoprompt.evaluation.finalists import Finalist
from autoprompt.statistics.abstention import Abstention
from autoprompt.statistics.intervals import Estimate, estimate
from autoprompt.statistics.significance import SIGNIFICANT, clearly_worse, luckier_than, paired_p
from autoprompt.store import PromptRecord
from autoprompt.workers.answers import Answers
from autoprompt.workers.metrics import Metric


def lead_warnings(
    answers: Answers,
    metric: Metric,
    labels: Sequence[int],
    best: PromptRecord,
    candidates: Sequence[PromptRecord],
    confirmed: Sequence[Finalist],
) -> list[str]:
    """Where the best prompt cannot be told from the next one.

    Args:
        labels: [B], the right labels of the validation texts.
        candidates: best first.
        confirmed: the finalists, best mean first; without any, the next one is the next candidate.
    """
    if len(confirmed) > 1:
        return _lead_over_seeds(*confirmed[:2])
    rest = [
        candidate for candidate in best_distinct(candidates, 2) if candidate.number != best.number
    ]
    if not rest:
        return []
    second = rest[0]
    p, test = paired_p(
        metric,
        answers.right(labels),
        *(_predicted(answers, metric, prompt) for prompt in (best, second)),
    )
    if p < SIGNIFICANT:
        return []
    lead = (
        f"trial {best.number}'s lead of {best.score - second.score:.4f} over trial {second.number}"
        if best.score > second.score
        else f"trial {best.number} scores as much as trial {second.number}; the choice between them"
    )
    return [
        f"{lead} is within noise on {len(labels)} validation texts ({test} p = {p:.2f}); "
        "`confirm` in the configuration trains the best again with other seeds"
    ]


def _lead_over_seeds(first: Finalist, second: Finalist) -> list[str]:
    seeds = min(len(first.scores), len(second.scores))
    lead = first.mean - second.mean
    if seeds > 1 and (first.spread or second.spread):
        sides = [
            (finalist.mean, finalist.spread, len(finalist.scores)) for finalist in (first, second)
        ]
        test = scipy.stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False)
        p = float(test.pvalue)
        if p < SIGNIFICANT:
            return []
        why = f"Welch's t p = {p:.2f}"
    elif lead > 0 and seeds > 1:
        return []
    else:
        why = f"with {seeds} other seed{'s' if seeds > 1 else ''}"
    return [
        f"trial {first.number}'s mean over seeds leads trial {second.number}'s by {lead:.4f}: "
        f"within noise ({why})"
    ]


def luck_warnings(metric: Metric, confirmed: Sequence[Finalist]) -> list[str]:
    """Where the trial that led the search owed it to its seed."""
    if not confirmed:
        return []
    leader = max(confirmed, key=lambda finalist: finalist.search_score)
    if not luckier_than(leader.search_score, leader.scores):
        return []
    natural = metric.direction.natural
    return [
        f"trial {leader.number} had {natural(leader.search_score):.4f} in the search, and "
        f"{natural(leader.mean):.4f} ± {leader.spread:.4f} with {len(leader.scores)} other seeds: "
        "the first was luck"
    ]


def abstention_warnings(rule: Abstention | None) -> list[str]:
    """Where no threshold keeps the errors as few as was asked."""
    if rule is None or rule.reached:
        return []
    bound = "" if rule.bound is None else f" (at most {rule.bound:.3f})"
    return [
        f"no threshold keeps the error of what is answered at {rule.error:g} on {rule.texts} "
        f"texts: the nearest, {rule.threshold:g}, answers {rule.coverage:.0%} of them with an "
        f"error of {rule.wrong:.3f}{bound}, and is taken"
    ]


def overfit_warnings(
    answers: Answers,
    metric: Metric,
    labels: Sequence[int],
    best: PromptRecord,
    validated: dict[str, Any],
    tested: dict[str, Any],
    halves: tuple[Estimate, Estimate] | None,
    judged_on: str = "validation",
) -> list[str]:
    """Where what was chosen on validation does clearly worse on texts it was not chosen by.

    Args:
        judged_on: what the texts are called that the ensemble was chosen by.
        validated, tested: the ensemble's scores on validation, and all of them on test.
        halves: of a greedy choice, on the half it was drawn on and the half that confirmed it.
    """
    own = estimate(metric, answers.right(labels), _predicted(answers, metric, best))
    pairs = {f"trial {best.number}": ("on validation", own, _estimate(tested["best"]))}
    if len(tested["members"]) > 1:
        where = "on validation" if judged_on == "validation" else judged_on
        both = _estimate(validated["ensemble"]), _estimate(tested["ensemble"])
        pairs["the ensemble"] = (where, *both)
    warnings = [
        f"{name} scores {seen.score:.4f} {where} and {unseen.score:.4f} on test, clearly worse: "
        "the search has fitted the texts it chose by; more of them would help"
        for name, (where, seen, unseen) in pairs.items()
        if clearly_worse(unseen, seen, metric.direction)
    ]
    if halves and clearly_worse(halves[1], halves[0], metric.direction):
        warnings.append(
            f"the greedy ensemble scores {halves[0].score:.4f} on the validation texts it was "
            f"drawn on and {halves[1].score:.4f} on those that confirmed it, clearly worse: it "
            "has fitted the first"
        )
    return warnings


def _estimate(row: dict[str, Any]) -> Estimate:
    return Estimate(**{name: row[name] for name in ("score", "low", "high", "method")})


def _predicted(answers: Answers, metric: Metric, prompt: PromptRecord) -> NDArray[Any]:
    """What a prompt predicts of the validation texts, [B]."""
    return metric.predictions(answers.unpacked(prompt.log_probs), answers.decided)
