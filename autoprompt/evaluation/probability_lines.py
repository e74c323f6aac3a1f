"""What is told of probabilities: whether they mean what they say, and which texts get no answer."""

from typing import Any


def probability_lines(scored: dict[str, Any]) -> list[str]:
    """Lines below a table of scores on held-out texts; none of a search of an older version.

    Args:
        scored: the table, as `SearchResult.test` has it.
    """
    lines = []
    told = scored.get("probabilities")
    if told:
        own = told["ensemble"]
        names = (("log_loss", "log loss"), ("brier", "Brier"), ("ece", "calibration error"))
        parts = [f"{name} {_estimate(own[key])}" for key, name in names]
        lines.append(f"The ensemble's probabilities: {', '.join(parts)}.")
    abstained = scored.get("abstain")
    if abstained:
        lines.append(abstention_line(abstained))
    return lines


def abstention_line(abstained: dict[str, Any]) -> str:
    """What an ensemble does that may give no answer."""
    rule = abstained["rule"]
    how = "an estimate"
    if rule["confidence"] is not None:
        how = f"guaranteed with {rule['confidence']:.0%} confidence" if rule["reached"] else ""
    if not rule["reached"]:
        how = "not reached: the nearest threshold"
    told = (
        f"It answers from a probability of {rule['threshold']:g} on, so that at most "
        f"{rule['error']:.0%} of the answers are wrong ({how}): of these {abstained['texts']} "
        f"texts {_estimate(abstained['coverage'])}"
    )
    if abstained["error"] is None:
        return f"{told}."
    return f"{told}, and {_estimate(abstained['error'])} of those wrongly."


def _estimate(row: dict[str, Any]) -> str:
    return f"{row['score']:.3f} ({row['low']:.3f} - {row['high']:.3f})"
