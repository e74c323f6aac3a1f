from typing import TYPE_CHECKING, Any

import click

from autoprompt.cli.options import db_option, filter_options, json_option, print_json
from autoprompt.store import State

if TYPE_CHECKING:
    from autoprompt.results import SearchResult


@click.command()
@filter_options
@db_option
@json_option
def command(
    filters: dict[str, Any],
    db: str | None,
    as_json: bool,
) -> None:
    """List the searches in the store, newest first.

    \b
    autoprompt list --owner ana --tag tickets --state finished
    autoprompt list --name 'tickets-*'
    """
    from autoprompt.api import searches
    from autoprompt.cli.tables import console, number, table, word

    results = searches(**filters, db=db)
    if as_json:
        print_json([result.summary() for result in results])
        return
    columns = [
        ("id", "right"), ("name", "left"), ("state", "left"), ("trials", "right"),
        ("best", "right"), ("metric", "left"), ("started", "left"), ("owner", "left"),
        ("tags", "left"), ("model", "left"),
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
                summary["owner"] or "-",
                " ".join(summary["tags"]),
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
