import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument


@click.command()
@search_argument
@db_option
@json_option
def command(search: str, db: str | None, as_json: bool) -> None:
    """List a search's trials in the order they began, failed ones with their error."""
    from autoprompt.api import load
    from autoprompt.cli.tables import console, trials_table
    from autoprompt.results import trial_as_dict

    result = load(search, db=db)
    if as_json:
        print_json([trial_as_dict(trial) for trial in result.trials])
    else:
        console().print(trials_table(f"Trials of {result.name}", result.trials))
