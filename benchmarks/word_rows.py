"""The lines of words: what searching the question costs, and what it finds."""

import statistics
from typing import Any

from benchmarks.answer_rows import SEEDS
from benchmarks.row import Row, measure, of_seeds


def demonstrations() -> list[Row]:
    found = measure("words", "demonstrations")
    ratio = found["plain"] / found["shared"]
    same = found["apart"] < (1e-3 if found["dtype"] == "float32" else 0.1)
    return [
        Row(
            "8 demonstrations, 400 texts",
            f"{found['shared']:.1f} s",
            f"{found['plain']:.1f} s, plain forward over demonstrations and text",
            ratio,
            ">= 5x, same numbers",
            ratio >= 5 and same,
            f"log-probabilities at most {found['apart']:.1g} apart, {found['dtype']}",
        )
    ]


def candidates() -> list[Row]:
    found = measure("words", "candidates")
    rows = []
    for (name, rates), least in zip(found.items(), (3, 8), strict=True):
        ratio = rates["ours"] / rates["plain"]
        rows.append(
            Row(
                f"candidates x texts a second, a suffix of 8 tokens, {name}",
                f"{rates['ours']:.1f}",
                f"{rates['plain']:.1f}, plain forward passes",
                ratio,
                f">= {least}x",
                ratio >= least,
                f"log-probabilities at most {rates['apart']:.1g} apart",
            )
        )
    return rows


def racing() -> list[Row]:
    found = measure("words", "racing")
    raced, whole = found["raced"], found["not raced"]
    part = raced["scored"] / whole["scored"]
    losses = [statistics.mean(each["losses"]) for each in (raced, whole)]
    return [
        Row(
            "candidates times texts scored by a search for words that races",
            f"{raced['scored']:,}, validation {of_seeds(raced['scores'])}",
            f"{whole['scored']:,}, validation {of_seeds(whole['scores'])}, without racing",
            part,
            ">= 60% spared, an equal result",
            part <= 0.4 and statistics.mean(raced["scores"]) >= statistics.mean(whole["scores"]),
            f"{len(raced['scores'])} seeds, 6 rounds of 6 candidates each; loss on all train texts "
            f"{losses[0]:.4f} and {losses[1]:.4f}",
        )
    ]


def label_words() -> list[Row]:
    found = measure("words", "label_words")
    words = "; ".join(", ".join(own) for own in found["best"].values())
    return [
        Row(
            "label words: all of 10,000 pairs scored",
            f"{found['encoded']} texts read in {found['asked']:.0f} s, pairs in "
            f"{found['proposed']:.1f} s",
            f"{found['pairs']:,} passes over {found['texts']} texts",
            None,
            "one pass over the texts in all",
            found["encoded"] <= found["texts"],
            f"best: {words}",
        )
    ]


def words() -> list[Row]:
    """Prompts of nothing but words, over three seeds: the whole question searched."""
    ours = _searched("words", 16)
    rows = [
        _best(ours, "movies", "best words-only prompt", 0.86),
        _readable(ours),
        _apart(ours),
    ]
    for data in ("amazon", "tweets"):
        scores = [each[data]["best"]["score"] for each in ours]
        alone = [each[data]["no_prompt"]["score"] for each in ours]
        mean, zero = statistics.mean(scores), statistics.mean(alone)
        rows.append(
            Row(
                f"{data}: best words-only prompt",
                of_seeds(scores),
                f"{of_seeds(alone)}, zero-shot",
                mean / zero,
                ">= zero-shot",
                mean >= zero,
                "trained on movies",
            )
        )
    return rows


def ratings() -> list[Row]:
    """Three levels of rating: words alone beside a bag of words."""
    found = measure("ratings")
    best, bag = found["best"], found["bag"]
    return [
        Row(
            "three levels of rating, best words-only prompt",
            f"{best['score']:.4f} ({best['low']:.3f} to {best['high']:.3f})",
            f"{bag['score']:.4f} ({bag['low']:.3f} to {bag['high']:.3f}), bag of words",
            best["score"] / bag["score"],
            "above the bag's interval",
            best["score"] > bag["high"],
            f"1,000 unseen texts; the template alone {found['no_prompt']['score']:.4f}",
        )
    ]


def hard() -> list[Row]:
    """The best words under the demo's own question."""
    ours = _searched("hard", 8, "--no-elsewhere")
    return [_best(ours, "movies", "best hard prompt under the demo's question", 0.845)]


def everything() -> list[Row]:
    """The best prompt of any kind, everything searched."""
    ours = _searched("full", 24, "--no-elsewhere")
    return [_best(ours, "movies", "best prompt of any kind, everything searched", 0.875)]


def _searched(space: str, trials: int, *options: str) -> list[dict[str, Any]]:
    """What searches of a preset found, one a seed."""
    given = ("--space", space, "--trials", str(trials), "--together", "4", *options)
    return [measure("our_answer", "--seed", seed, *given) for seed in SEEDS]


def _best(ours: list[dict[str, Any]], data: str, what: str, least: float) -> Row:
    scores = [each[data]["best"]["score"] for each in ours]
    mean = statistics.mean(scores)
    minutes = max(each["seconds"] for each in ours) / 60
    return Row(
        f"{data}: {what}",
        of_seeds(scores),
        f"{of_seeds([each[data]['no_prompt']['score'] for each in ours])}, the template alone",
        None,
        f">= {least:g}",
        mean >= least,
        f"{len(ours)} seeds, {ours[0]['trials']} trials each, {minutes:.1f} minutes at most",
    )


def _readable(ours: list[dict[str, Any]]) -> Row:
    """The best prompt on validation that is to the frozen model no more surprising than its median
    train text; a search without any scores as the template alone."""
    found = [each["readable"] for each in ours]
    scores = [
        own["readable"]["score"] if own["readable"] else each["movies"]["no_prompt"]["score"]
        for own, each in zip(found, ours, strict=True)
    ]
    counts = ", ".join(f"{own['readable_prompts']} of {own['prompts']}" for own in found)
    best = ", ".join(f"{own['best']['perplexity']:.0f}" for own in found)
    usual = ", ".join(f"{own['usual']:.0f}" for own in found)
    return Row(
        "movies: best readable words-only prompt",
        of_seeds(scores),
        f"{of_seeds([own['best']['score'] for own in found])}, readable or not",
        None,
        ">= 0.86",
        statistics.mean(scores) >= 0.86,
        f"readable: {counts}; perplexity of the best {best}, of the median train text {usual}",
    )


def _apart(ours: list[dict[str, Any]]) -> Row:
    """How far prompts of different templates disagree, and what their vote gains."""
    found = [each["varied"] for each in ours]
    apart = statistics.mean(each["disagreement"] for each in found)
    gains = [each["vote"] - each["mean"] for each in found]
    counts = ", ".join(str(each["members"]) for each in found)
    return Row(
        "disagreement of members of different templates",
        f"{apart:.1%} of validation texts ({counts} members)",
        f"their vote {statistics.mean(gains) * 100:+.1f} points from their mean",
        None,
        ">= 10%",
        apart >= 0.1,
        "each within 1.5 points of the best on validation",
    )
