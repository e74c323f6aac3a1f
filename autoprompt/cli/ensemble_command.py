import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument
from autoprompt.ensemble import Vote


@click.command()
@search_argument
@click.option("--size", type=click.IntRange(min=1), help="How many prompts vote.")
@click.option("--vote", type=click.Choice(["majority", "weighted"]), help="How they vote.")
@db_option
@json_option
def command(
    search: str, size: int | None, vote: Vote | None, db: str | None, as_json: bool
) -> None:
    """Show the ensemble, or try another size or vote on the validation split.

    Trying reads the stored predictions: no model is loaded, and the search keeps the ensemble that
    was tested. A majority vote counts heads; a weighted one counts each by its validation score.
    """
    from autoprompt.api import load
    from autoprompt.cli.tables import console, number, table

    result = load(search, db=db)
    tried = size is not None or vote is not None
    document = (result.try_ensemble(size, vote) if tried else result.ensemble).as_dict()
    if as_json:
        print_json(document)
        return
    columns = [("trial", "right"), ("kind", "left"), ("score", "right"), ("prompt", "left")]
    rows = [
        (each["number"], each["kind"], number(each["score"]), each["prompt"].strip())
        for each in document["members"]
    ]
    out = console()
    out.print(table(f"{document['vote']} vote of {len(rows)}".capitalize(), columns, rows))
    out.print(f"validation: {number(document['validation'])}")
