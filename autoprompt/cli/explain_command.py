import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument


@click.command()
@search_argument
@click.option("--trial", type=int, metavar="N", help="This trial's prompt, not the best one's.")
@db_option
@json_option
def command(search: str, trial: int | None, db: str | None, as_json: bool) -> None:
    """Show which positions of a prompt matter, by leaving out each in turn.

    Each row is the prompt without one of its tokens, vectors, or keys and values, on the validation
    texts: how much the loss grows (in nats, with a 95% interval), and the score that is left.
    Positions that do the same work each look idle, since the other is there.

    \b
    autoprompt explain latest
    """
    from autoprompt.api import load
    from autoprompt.cli.score_tables import print_left_out

    explained = load(search, db=db).explain(trial)
    if as_json:
        print_json(explained)
    else:
        print_left_out(explained)
