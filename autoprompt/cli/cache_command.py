from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from autoprompt.cli.options import confirmed, dry_run_option, json_option, print_json, yes_option

if TYPE_CHECKING:
    from autoprompt.workers.cache_usage import Kept


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show what is kept of models and texts on this machine, and make room.

    It lies in AUTOPROMPT_CACHE, else in your cache folder; whoever needs what was deleted computes
    it again. Without a command: how much there is, how old, and what is in use.
    """
    if ctx.invoked_subcommand is not None:
        return
    from datetime import datetime

    from autoprompt.cli.tables import console, table
    from autoprompt.shown_sizes import shown_size
    from autoprompt.workers.cache_folder import cache_folder
    from autoprompt.workers.cache_usage import Kept, kept

    groups: dict[tuple[str, str], list[Kept]] = {}
    for own in kept():
        of = "" if own.kind == "trust" else own.of
        groups.setdefault((own.kind, of), []).append(own)
    rows = [
        (
            kind,
            of,
            len(found),
            sum(own.size for own in found),
            datetime.fromtimestamp(max(own.used_at for own in found)).isoformat(" ", "minutes"),
            any(own.in_use for own in found),
        )
        for (kind, of), found in sorted(groups.items())
    ]
    if as_json:
        names = ("kind", "of", "files", "bytes", "used_at", "in_use")
        told = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"folder": str(cache_folder()), "kept": told})
        return
    columns = [
        ("kind", "left"), ("of", "left"), ("how many", "right"), ("size", "right"),
        ("last used", "left"), ("in use", "left"),
    ]  # fmt: skip
    lines = [
        (kind, of, count, shown_size(size), used, "yes" if in_use else "")
        for kind, of, count, size, used, in_use in rows
    ]
    console().print(table(str(cache_folder()), columns, lines))


@command.command()
@click.option("--max-gib", type=click.FloatRange(0), help="Leave at most so much in all.")
@click.option("--older-than", metavar="AGE", help="What was not used for so long: 30d, 12h.")
@dry_run_option
@yes_option
@json_option
def prune(
    max_gib: float | None, older_than: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete what was not used longest, but for what a process is using, such as a search.

    \b
    autoprompt cache prune --max-gib 10
    autoprompt cache prune --older-than 30d --dry-run
    """
    import math

    from autoprompt.search_spaces.durations import seconds_of
    from autoprompt.workers import cache_usage

    if max_gib is None and older_than is None:
        raise click.UsageError("say how much may stay: --max-gib N or --older-than AGE")
    going = cache_usage.to_prune(
        cache_usage.kept(),
        math.inf if max_gib is None else max_gib * (1 << 30),
        math.inf if older_than is None else seconds_of(older_than),
    )
    size, told = _told(going)
    if going and not dry_run:
        confirmed(f"delete {told}", yes)
        going = cache_usage.prune(going)
        size, told = _told(going)
    if as_json:
        print_json({"deleted": len(going), "bytes": size, "dry_run": dry_run})
    elif going:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {told}")
    else:
        click.echo("nothing to delete")


def _told(going: "Sequence[Kept]") -> tuple[int, str]:
    """How many bytes go, and the same for people."""
    from autoprompt.shown_sizes import shown_size

    size = sum(own.size for own in going)
    return size, f"{len(going)} of what is kept, {shown_size(size)}"
