"""The lines of votes and probabilities: what every labelled text is worth."""

import statistics
from typing import Any

from benchmarks.answer_rows import SEEDS
from benchmarks.row import Row, at_most, measure, of_seeds

#: What the ensemble of `our_answer` scored elsewhere with the version before folds.
BEFORE = {"amazon": 0.8699, "tweets": 0.8763}


def bagged() -> list[Row]:
    """Finalists on folds of all labelled texts, over three seeds."""
    ours = [measure("bagged", "--seed", seed) for seed in SEEDS]
    minutes = max(each["seconds"] for each in ours) / 60
    note = (
        f"3 seeds, {ours[0]['trials']} trials each, {ours[0]['members']} prompts of folds vote, "
        f"{minutes:.1f} minutes at most"
    )
    vote = _scores(ours, "movies", "ensemble")
    rows = [
        _row("movies: vote of folds", vote, [], ">= 0.880", statistics.mean(vote) >= 0.88, note)
    ]
    for what, key, lead in (
        ("its members' mean", "mean", 0.01),
        ("the best prompt", "best", 0.005),
    ):
        others = _scores(ours, "movies", key)
        met = statistics.mean(vote) >= statistics.mean(others) + lead
        target = f">= {what} + {lead * 100:g} points"
        rows.append(_row(f"movies: vote of folds, {what}", vote, others, target, met, note))
    for data, before in BEFORE.items():
        scores = _scores(ours, data, "ensemble")
        met = statistics.mean(scores) >= before
        row = _row(f"{data}: vote of folds", scores, [before], ">= before folds", met, "")
        rows.append(row)
    for data, target in (("movies", "<= 0.05"), ("amazon", "told"), ("tweets", "told")):
        errors = [each[data]["ece"]["score"] for each in ours]
        met = data != "movies" or statistics.mean(errors) <= 0.05
        rows.append(_row(f"{data}: calibration error", errors, [], target, met, "15 bins"))
    return [*rows, _probe(ours), *_abstained(ours), _predicted()]


def three_labels() -> list[Row]:
    """The vote beside the best of the baselines, with 500 labelled texts."""
    rows = []
    for what, title in (("ratings", "three levels of rating"), ("sources", "three sources")):
        ours = [measure("three_labels", what, "--seed", seed) for seed in SEEDS]
        votes = [each["ensemble"]["score"] for each in ours]
        known = [_baselines(each) for each in ours]
        means = {name: statistics.mean(each[name] for each in known) for name in known[0]}
        best = max(means, key=lambda name: means[name])
        rows.append(
            _row(
                f"{title}, 500 labelled texts: vote of folds, the best baseline",
                votes,
                [each[best] for each in known],
                ">= every baseline but fine-tuning",
                statistics.mean(votes) >= means[best],
                f"{best.replace('_', ' ')} is the best of {len(means)}",
            )
        )
    return rows


def _baselines(table: dict[str, Any]) -> dict[str, float]:
    """Scores on the test texts, by name."""
    found = {row["name"]: row["score"] for row in table["baselines"]}
    return {name: score for name, score in found.items() if score is not None}


def _probe(ours: list[dict[str, Any]]) -> Row:
    """The linear probe, which is to be beaten by more than a paired test lets chance explain."""
    votes = _scores(ours, "movies", "ensemble")
    rows = [
        next(row for row in each["baselines"] if row["name"] == "linear_probe") for each in ours
    ]
    probes = [row["score"] for row in rows]
    chances = [row["p_ensemble"] for row in rows]
    met = all(p < 0.05 for p in chances) and all(
        vote > probe for vote, probe in zip(votes, probes, strict=True)
    )
    what, target = "movies: vote of folds, linear probe", "above it, p < 0.05 each"
    return _row(what, votes, probes, target, met, f"p {', '.join(f'{p:.3f}' for p in chances)}")


def folds() -> list[Row]:
    found = measure("fold_seconds")
    return [
        at_most(
            "5 folds of one KV plan, texts computed before",
            f"{found['folds']:.1f} s",
            f"{found['once']:.1f} s, the plan once",
            found["folds"] / found["once"],
            2.5,
        )
    ]


def _predicted() -> Row:
    found = measure("fold_prediction")
    return at_most(
        f"prediction by {found['prompts']} prompts of folds, two templates, 400 snippets",
        f"{found['ensemble']:.1f} s",
        f"{found['one']:.1f} s, one prompt, uncached",
        found["ensemble"] / found["one"],
        2.0,
    )


def _abstained(ours: list[dict[str, Any]]) -> list[Row]:
    told = [each["movies"]["abstain"] for each in ours]
    errors = [each["error"]["score"] for each in told]
    coverage = [each["coverage"]["score"] for each in told]
    low = statistics.mean(each["error"]["low"] for each in told)
    met = low <= 0.05 and statistics.mean(coverage) >= 0.6
    return [
        Row(
            "abstain: {error: 0.05}",
            f"{of_seeds(errors)} wrong",
            f"{of_seeds(coverage)} answered",
            None,
            "<= 0.05 within its interval, >= 0.6 answered",
            met,
            "an estimate, on 1,000 unseen snippets",
        )
    ]


def _scores(ours: list[dict[str, Any]], data: str, key: str) -> list[float]:
    return [each[data][key]["score"] for each in ours]


def _row(
    what: str, scores: list[float], others: list[float], target: str, met: bool, note: str
) -> Row:
    ratio = statistics.mean(scores) / statistics.mean(others) if others else None
    return Row(
        what, of_seeds(scores), of_seeds(others) if others else "-", ratio, target, met, note
    )
