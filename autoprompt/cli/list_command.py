from typing import TYPE_CHECKING

import click

from autoprompt.cli.options import db_option, json_option, print_json
from autoprompt.store import State

if TYPE_CHECKING:
    from autoprompt.results import SearchResult


@click.command()
@db_option
@json_option
def command(db: str | None, as_json: bool) -> None:
    """List every search in the store, newest first."""
    from autoprompt.api import searches
    from autoprompt.cli.tables import console, number, table, word

    results = searches(db=db)
    if as_json:
        print_json([result.summary() for result in results])
        return
    columns = [
        ("id", "right"), ("name", "left"), ("state", "left"), ("trials", "right"),
        ("best", "right"), ("metric", "left"), ("started", "left"), ("model", "left"),
    ]  # fmt: skip
    rows = []
    for result in results:
        summary = result.summary()
        rows.append(
            (
                summary["id"],
                summary["name"],
                word(summary["state"]),
                trials_done(result),
                number(summary["best_score"]),
                summary["metric"],
                f"{result.record.started_at:%Y-%m-%d %H:%M}",
                summary["model"].rsplit("/", 1)[-1],
            )
        )
    console().print(table("Searches", columns, rows))


def trials_done(result: "SearchResult") -> str:
    """How many trials there were; while more are to come, out of how many."""
    counts = result.counts
    asked = result.record.config["search"]["trials"]
    ended = sum(counts.values()) - counts[State.RUNNING]
    return str(ended) if ended >= asked else f"{ended} of {asked}"
