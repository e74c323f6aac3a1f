from typing import Any

import click

from autoprompt.cli.options import (
    confirmed,
    db_option,
    dry_run_option,
    filter_options,
    json_option,
    print_json,
    yes_option,
)


@click.command()
@filter_options
@click.option("--older-than", metavar="AGE", help="Begun so long ago: 30d, 12h.")
@click.option("--keep", type=click.IntRange(0), default=0, help="Leave the newest so many of them.")
@dry_run_option
@yes_option
@db_option
@json_option
def command(
    filters: dict[str, Any],
    older_than: str | None,
    keep: int,
    dry_run: bool,
    yes: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Delete all searches of a kind, as `delete` does; those that are running stay.

    \b
    autoprompt prune --state failed --dry-run
    autoprompt prune --owner ana --older-than 90d --keep 10
    """
    from datetime import UTC, datetime, timedelta

    from autoprompt.api import delete, searches
    from autoprompt.search_spaces.durations import seconds_of

    said = any(filters[key] for key in ("owner", "tags", "state")) or filters["name"] != "*"
    if not (said or older_than or keep):
        raise click.UsageError("say which: --owner, --tag, --state, --name, --older-than or --keep")
    age = timedelta(seconds=seconds_of(older_than) if older_than else 0)
    before = datetime.now(UTC) - age
    found = searches(**filters, db=db)[keep:]
    old = [one for one in found if one.state != "running" and one.record.started_at <= before]
    named = [result.name for result in old]
    if old and not dry_run:
        confirmed(f"delete {len(old)} searches ({', '.join(named)})", yes)
        delete([str(result.id) for result in old], db=db)
    if as_json:
        print_json({"deleted": named, "dry_run": dry_run})
    elif old:
        click.echo(f"{'would delete' if dry_run else 'deleted'}: {', '.join(named)}")
    else:
        click.echo("nothing to delete")
