"""Options and arguments that several commands share."""

import json
from collections.abc import Iterable
from typing import Any

import click

from autoprompt.cli.completion import searches


def _told_of_ps(ctx: click.Context, param: click.Parameter, url: str | None) -> str | None:
    from autoprompt.store import holds_a_secret

    if url and not ctx.resilient_parsing and "://" in url and holds_a_secret(url):
        click.echo(
            "Warning: others on this machine can read a password in --db (`ps` shows it); "
            "AUTOPROMPT_DB or AUTOPROMPT_DB_FILE keeps it to you",
            err=True,
        )
    return url


db_option = click.option(
    "--db", metavar="URL", callback=_told_of_ps, help="The store's database URL."
)
address_option = click.option(
    "--address",
    metavar="URL",
    help="The cluster's dashboard, http://HOST:8265; else RAY_API_SERVER_ADDRESS or RAY_ADDRESS.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any key of the file, dotted, with a YAML value: --set search.trials=64. Repeatable.",
)
time_limit_option = click.option(
    "--time-limit",
    metavar="TIME",
    help="Begin no trial after so long: seconds, or 10m, 2h; in the place of search.time_limit.",
)
search_argument = click.argument("search", metavar="SEARCH", shell_complete=searches)


def print_json(document: Any) -> None:
    """Exactly one JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_list(items: Iterable[Any]) -> None:
    """One JSON list on stdout, written as its items come."""
    opening = "["
    for item in items:
        click.echo(f"{opening}\n  {json.dumps(item, ensure_ascii=False)}", nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")
