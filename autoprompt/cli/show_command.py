import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument


@click.command()
@search_argument
@db_option
@json_option
def command(search: str, db: str | None, as_json: bool) -> None:
    """Show a search: leaderboard, winning prompts, test scores.

    Works while it runs, and when the cluster is gone: all of it is read from the store.
    """
    from autoprompt.api import load
    from autoprompt.cli.tables import print_result

    result = load(search, db=db)
    if as_json:
        print_json(result.as_dict())
    else:
        print_result(result)
