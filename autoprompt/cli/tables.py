"""Tables for people: rich on a terminal, plain text when piped."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoprompt.results import Ensemble, SearchResult
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


def interval(row: dict[str, Any]) -> str:
    return f"{row['low']:.4f} - {row['high']:.4f}"


def held_out_table(title: str, scored: dict[str, Any], vote: str) -> Table:
    """Scores on texts that no trial saw, with their 95% intervals, and how these were found."""
    size = len(scored["members"])
    best = scored["best"].get("number")
    names = {
        "no_prompt": "no prompt (the template alone)",
        "mean": f"mean of the {size} members",
        "best": "best single prompt" + ("" if best is None else f" (trial {best})"),
        "ensemble": f"ensemble of {size}, {vote} vote",
    }
    rows = [
        (name, number(scored[key]["score"]), interval(scored[key]), scored[key]["method"])
        for key, name in names.items()
    ]
    columns = [
        ("", "left"), ("score", "right"), ("95% interval", "right"), ("method", "left"),
    ]  # fmt: skip
    return table(title, columns, rows)


def print_ensemble(ensemble: Ensemble) -> None:
    """All that `autoprompt ensemble` tells a person."""
    out = console()
    document = ensemble.as_dict()
    columns = [
        ("trial", "right"), ("kind", "left"), ("votes", "right"), ("validation", "right"),
        ("test", "right"), ("prompt", "left"),
    ]  # fmt: skip
    rows = [
        (
            each["number"],
            each["kind"],
            f"{each['votes']:.3g}",
            number(each["validation"]["score"]),
            number(each["test"]["score"] if each["test"] else None),
            each["prompt"].strip(),
        )
        for each in document["members"]
    ]
    title = f"{document['vote']} vote of {document['size']}, select {document['select']}"
    out.print(table(title.capitalize(), columns, rows))
    if document["note"]:
        out.print(Text(f"Note: {document['note']}."))
    if len(rows) > 1:
        out.print(Text(f"Two members agree on {document['agreement']['mean']:.1%} of the texts."))
    names = {"ensemble": "ensemble", "best_member": "best member", "mean": "mean of the members"}
    scored = [
        (
            split,
            name,
            number(document[split][key]["score"]),
            interval(document[split][key]),
            document[split][key]["method"],
        )
        for split in ("validation", "test")
        if document[split]
        for key, name in names.items()
        if document[split][key]
    ]
    columns = [
        ("", "left"), ("", "left"), ("score", "right"), ("95% interval", "right"),
        ("method", "left"),
    ]  # fmt: skip
    out.print(table("Scores", columns, scored))
    if not document["test"]:
        out.print("The test split was opened for the stored ensemble alone.")


def finalists_table(result: SearchResult) -> Table:
    """The finalists with their scores over seeds."""
    columns = [
        ("trial", "right"), ("in the search", "right"), ("mean", "right"), ("spread", "right"),
        ("scores with other seeds", "left"),
    ]  # fmt: skip
    rows = [
        (
            each.number,
            number(each.search_score),
            number(each.mean),
            number(each.spread),
            " ".join(number(score) for score in each.scores),
        )
        for each in result.finalists
    ]
    return table("Finalists, trained again with other seeds", columns, rows)


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
    if result.finalists:
        out.print(finalists_table(result))
    if record.ensemble:
        columns = [("trial", "right"), ("kind", "left"), ("score", "right"), ("prompt", "left")]
        rows = [
            (member.number, member.kind, number(member.score), member.text.strip())
            for member in result.ensemble.members
        ]
        out.print(table("The prompts that vote", columns, rows))
        if result.ensemble.note:
            out.print(Text(f"Note: {result.ensemble.note}.\n"))
    if result.test is not None:
        title = f"Test: {record.metric} on {result.test['texts']} texts that no trial saw"
        out.print(held_out_table(title, result.test, result.ensemble.vote))
    for warning in record.warnings or []:
        out.print(Text(f"Warning: {warning}."))
