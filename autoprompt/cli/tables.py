"""Tables for people: rich on a terminal, plain text when piped."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoprompt.results import SearchResult
from autoprompt.store import TrialRecord

#: Wide enough for a prompt where no terminal says how wide it is.
_PIPED_WIDTH = 120

#: Trials on the leaderboard.
LEADERS = 10


def console() -> Console:
    """Stdout, as wide as the terminal or as a page."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def table(title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of cells as plain text: nothing in the data is taken for markup.

    Args:
        columns: heading and justification (left or right) of each.
    """
    made = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for heading, justify in columns:
        right = justify == "right"
        made.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def settings(trial: TrialRecord) -> str:
    """The sampled parameters in a few words, without the kind they repeat."""
    parts = []
    for name, value in trial.params.items():
        if name != "kind":
            shown = f"{value:.3g}" if isinstance(value, float) else str(value)
            parts.append(f"{name.split('.', 1)[-1]}={shown}")
    return " ".join(parts)


def trials_table(title: str, trials: Sequence[TrialRecord]) -> Table:
    columns = [
        ("trial", "right"), ("kind", "left"), ("state", "left"), ("score", "right"),
        ("loss", "right"), ("seconds", "right"), ("settings", "left"), ("prompt", "left"),
    ]  # fmt: skip
    rows = [
        (
            trial.number,
            trial.kind,
            trial.state,
            number(trial.score),
            number(trial.loss),
            f"{trial.seconds:.0f}",
            settings(trial),
            trial.error if trial.error else trial.prompt or "",
        )
        for trial in trials
    ]
    return table(title, columns, rows)


def test_table(result: SearchResult) -> Table | None:
    """The scores on the test split with their 95% intervals."""
    test = result.test
    if test is None:
        return None
    size = len(result.ensemble.members)
    names = {
        "no_prompt": "no prompt (the template alone)",
        "mean": f"mean of the {size} members",
        "best": f"best single prompt (trial {result.best.number})",
        "ensemble": f"ensemble of {size}, {result.ensemble.vote} vote",
    }
    rows = [
        (name, number(test[key]["score"]), f"{test[key]['low']:.4f} - {test[key]['high']:.4f}")
        for key, name in names.items()
    ]
    title = f"Test: {result.record.metric} on {test['texts']} texts that no trial saw"
    return table(title, [("", "left"), ("score", "right"), ("95% interval", "right")], rows)


def print_result(result: SearchResult) -> None:
    """All that `autoprompt show` tells a person."""
    out = console()
    record = result.record
    counts = ", ".join(f"{count} {state}" for state, count in result.counts.items() if count)
    out.print(Text(f"Search {record.id}: {record.name} ({record.state}; {counts or 'no trials'})"))
    out.print(Text(f"model {record.model}, metric {record.metric}, seed {record.seed}"))
    if record.warm_start:
        out.print(Text(f"warm start from search {record.warm_start['name']}"))
    if record.error:
        out.print(Text(f"error: {record.error}"))
    leaders = result.leaders(LEADERS)
    if leaders:
        out.print()
        out.print(trials_table("Leaderboard, by score on validation", leaders))
    if record.ensemble:
        columns = [("trial", "right"), ("kind", "left"), ("score", "right"), ("prompt", "left")]
        rows = [
            (member.number, member.kind, number(member.score), member.text.strip())
            for member in result.ensemble.members
        ]
        out.print(table("The prompts that vote", columns, rows))
    tested = test_table(result)
    if tested is not None:
        out.print(tested)
