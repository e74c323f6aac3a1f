import click

from autoprompt.cli.options import db_option, json_option, print_json_list, search_argument

#: Rows of a table that a person still scrolls through.
_ROWS = 1000


@click.command()
@search_argument
@click.option("--limit", type=click.IntRange(min=1), help="The newest so many alone.")
@db_option
@json_option
def command(search: str, limit: int | None, db: str | None, as_json: bool) -> None:
    """List a search's trials in the order they began, failed ones with their error.

    A table has the newest 1000 unless --limit says otherwise; JSON has them all.
    """
    from autoprompt.api import load
    from autoprompt.cli.tables import console, trials_table
    from autoprompt.plain_records import trial_as_dict

    result = load(search, db=db)
    if as_json:
        trials = result.each_trial() if limit is None else result.newest(limit)
        print_json_list(trial_as_dict(trial) for trial in trials)
        return
    shown, total = result.newest(limit or _ROWS), sum(result.counts.values())
    console().print(trials_table(f"Trials of {result.name}", shown, result.direction))
    if limit is None and len(shown) < total:
        click.echo(f"the newest {len(shown)} of {total}; --limit and --json show more", err=True)
