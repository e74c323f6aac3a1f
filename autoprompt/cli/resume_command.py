import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument


@click.command()
@search_argument
@click.option("--workers", type=int, help="How many trials at a time from now on.")
@db_option
@json_option
def command(search: str, workers: int | None, db: str | None, as_json: bool) -> None:
    """Go on with a search that was stopped or died, then print what `show` prints.

    Every trial that reported is kept, those that had not ended begin again, and the rest of the
    budget is spent. The data and the model must be where they were, and what they were.
    """
    import autoprompt
    from autoprompt.cli.baselines_table import print_baselines
    from autoprompt.cli.result_tables import print_result

    result = autoprompt.resume(search, workers=workers, db=db)
    if as_json:
        print_json(result.as_dict())
    else:
        print_result(result)
        print_baselines(result.baselines, result.verdicts)
