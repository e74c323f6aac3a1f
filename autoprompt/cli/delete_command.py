import click

from autoprompt.cli.completion import searches
from autoprompt.cli.options import (
    confirmed,
    db_option,
    dry_run_option,
    json_option,
    print_json,
    yes_option,
)


@click.command()
@click.argument("names", metavar="SEARCH ...", nargs=-1, required=True, shell_complete=searches)
@dry_run_option
@yes_option
@db_option
@json_option
def command(
    names: tuple[str, ...], dry_run: bool, yes: bool, db: str | None, as_json: bool
) -> None:
    """Delete searches, with all that the store has of them.

    Their trials, prompts and scores go, and the record of the test texts that were opened for them.
    Exported folders, reports and labelled texts stay. A search that runs is refused, and so is one
    whose prompts another one starts from that is not finished.
    """
    from autoprompt.api import delete, load

    found = [load(name, db=db) for name in names]
    named = [result.name for result in found]
    if not dry_run:
        confirmed(f"delete {', '.join(named)}", yes)
        delete([str(result.id) for result in found], db=db)
    if as_json:
        print_json({"deleted": named, "dry_run": dry_run})
    else:
        click.echo(f"{'would delete' if dry_run else 'deleted'}: {', '.join(named)}")
