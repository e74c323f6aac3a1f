"""Tables for people: rich on a terminal, plain text when piped."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoprompt.store import State, TrialRecord
from autoprompt.workers.direction import Direction

#: Wide enough for a prompt where no terminal says how wide it is.
_PIPED_WIDTH = 120

#: How a terminal shows words that mean something: a trial's or search's state, a prompt's kind.
_STYLES = {
    State.RUNNING: "cyan",
    State.COMPLETE: "green",
    State.FINISHED: "green",
    State.PRUNED: "dim",
    State.STOPPED: "yellow",
    State.FAILED: "red",
    "soft": "blue",
    "hard": "yellow",
    "mixed": "magenta",
    "kv": "green",
}

#: Characters that a shortened cell keeps at least.
_BRIEFEST = 16


def console() -> Console:
    """Stdout, as wide as the terminal or as a page."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def table(title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of cells as plain text: nothing in the data is taken for markup.

    Args:
        columns: heading and justification of each: left, right, or brief, which is left and on a
            terminal one line that ends in an ellipsis where it is too long.
    """
    drawn = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for heading, justify in columns:
        right = justify == "right"
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=right)
    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    out = console()
    if out.is_terminal:
        _shorten(columns, cells, out.width)
    for row in cells:
        drawn.add_row(*row)
    return drawn


def _shorten(columns: Sequence[tuple[str, str]], cells: list[list[Text]], width: int) -> None:
    """Cut the brief columns' cells to what the others leave of the terminal's width."""
    longest = [
        max(len(heading), *(row[place].cell_len for row in cells), 0)
        for place, (heading, _) in enumerate(columns)
    ]
    brief = [place for place, (_, justify) in enumerate(columns) if justify == "brief"]
    room = width - 3 * (len(columns) + 1) - sum(longest) + sum(longest[place] for place in brief)
    for count, place in enumerate(brief):
        share = min(longest[place], max(room // (len(brief) - count), _BRIEFEST))
        room -= share
        for row in cells:
            row[place].truncate(share, overflow="ellipsis")


def word(name: str) -> Text:
    """A state or a kind, in its colour."""
    return Text(name, style=_STYLES.get(name, ""))


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def one_line(text: str) -> str:
    """A prompt, or a template, in a table: where its lines end is drawn."""
    return text.strip().replace("\n", "⏎ ")


def settings(trial: TrialRecord) -> str:
    """The sampled parameters in a few words, without the kind they repeat."""
    parts = []
    for name, value in trial.params.items():
        if name != "kind":
            shown = f"{value:.3g}" if isinstance(value, float) else one_line(str(value))
            parts.append(f"{name.split('.', 1)[-1]}={shown}")
    return " ".join(parts)


def trials_table(title: str, trials: Sequence[TrialRecord], direction: Direction) -> Table:
    columns = [
        ("trial", "right"), ("kind", "left"), ("state", "left"), ("score", "right"),
        ("loss", "right"), ("seconds", "right"), ("settings", "brief"), ("prompt", "brief"),
    ]  # fmt: skip
    scores = [trial.score for trial in trials if trial.score is not None]
    best = direction.best(scores) if scores else None
    rows = [
        (
            trial.number,
            word(trial.kind),
            word(trial.state),
            _score(trial, best),
            number(trial.loss),
            f"{trial.seconds:.0f}",
            settings(trial),
            Text(trial.error, style="red") if trial.error else one_line(trial.prompt or ""),
        )
        for trial in trials
    ]
    return table(title, columns, rows)


def _score(trial: TrialRecord, best: float | None) -> Text:
    """A trial's score; of one that a part of the validation texts judged, how many did."""
    part = trial.judged_by_part
    if part is not None:
        return Text(f"{number(part.score)} on {part.judged}", style="dim")
    return Text(number(trial.score), style="bold green" if trial.score == best else "")


def interval(row: dict[str, Any]) -> str:
    return f"{row['low']:.4f} - {row['high']:.4f}"
