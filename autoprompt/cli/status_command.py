import click

from autoprompt.cli.options import (
    address_option,
    db_option,
    json_option,
    print_json,
    search_argument,
)


@click.command()
@search_argument
@address_option
@db_option
@json_option
def command(search: str, address: str | None, db: str | None, as_json: bool) -> None:
    """Say in a few lines how far a search is, and what its job does.

    The search is read from the store, so it is told when the cluster is gone; the job is told where
    the cluster answers, even if the store does not.
    """
    from autoprompt.jobs.status import status

    progress = status(search, address, db)
    for problem in progress.problems:
        click.echo(problem, err=True)
    if as_json:
        print_json(progress.as_dict())
    else:
        for line in progress.lines():
            click.echo(line)
