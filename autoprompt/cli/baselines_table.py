"""What stands beside the prompts, for people."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from autoprompt.cli.tables import console, interval, number, table
from autoprompt.shown_sizes import shown_size


def print_baselines(
    rows: Sequence[dict[str, Any]], verdicts: Sequence[str], texts: str = "test"
) -> None:
    """Baselines, those that failed, and what they say of the prompts.

    Args:
        texts: what the texts are called that scored them.
    """
    out = console()
    if any(row["error"] is None for row in rows):
        out.print(baselines_table(rows, texts))
    for row in rows:
        if row["error"] is not None:
            out.print(Text(f"Baseline {row['name']}: {row['error']}."))
    for verdict in verdicts:
        out.print(Text(f"{verdict}."))


def baselines_table(rows: Sequence[dict[str, Any]], texts: str = "test") -> Table:
    """Those that did not fail: their scores, how likely the best prompt is no better, and what they
    cost."""
    columns = [
        ("", "left"), ("validation", "right"), (texts, "right"), ("95% interval", "right"),
        ("p", "right"), ("seconds", "right"), ("to ship", "right"),
    ]  # fmt: skip
    lines = [
        (
            row["name"].replace("_", " "),
            number(row["validation"]),
            number(row["score"]),
            "-" if row["score"] is None else interval(row),
            "-" if row["p"] is None else f"{row['p']:.2f}",
            f"{row['seconds']:.1f}",
            shown_size(row["shipped_bytes"]),
        )
        for row in rows
        if row["error"] is None
    ]
    return table("Baselines; p of the best prompt being no better or worse", columns, lines)
