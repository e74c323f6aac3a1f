"""Options and arguments that several commands share."""

import functools
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from autoprompt.cli.completion import searches

#: What a search may be.
_STATES = ("running", "finished", "failed", "stopped")


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
tag_option = click.option(
    "--tag", "tags", multiple=True, metavar="WORD", help="A tag beside the file's. Repeatable."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing."
)
yes_option = click.option("--yes", is_flag=True, help="Delete without asking.")
search_argument = click.argument("search", metavar="SEARCH", shell_complete=searches)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which searches of the store: --owner, --tag, --state, --name. The command is given them as
    `filters`, by which `autoprompt.searches` chooses."""

    @functools.wraps(command)
    def filtering(owner: Any, tags: Any, state: Any, name: Any, **others: Any) -> None:
        command(filters={"owner": owner, "tags": tags, "state": state, "name": name}, **others)

    for option in (
        click.option("--name", default="*", metavar="GLOB", help="Names, as in a shell: movies-*."),
        click.option("--state", type=click.Choice(_STATES), help="Searches in this state."),
        click.option("--tag", "tags", multiple=True, metavar="WORD", help="With all of these."),
        click.option("--owner", metavar="NAME", help="Whoever began them."),
    ):
        filtering = option(filtering)
    return filtering


def confirmed(what: str, yes: bool) -> None:
    """Ask before something is deleted, unless that was said before.

    Raises:
        click.UsageError: nobody can be asked.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}: say --yes, as nobody can be asked here")
    click.confirm(f"{what}?", abort=True, err=True)


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
