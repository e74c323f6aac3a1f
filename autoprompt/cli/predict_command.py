import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument


@click.command()
@search_argument
@click.argument("texts", metavar="[TEXT ...]", nargs=-1)
@click.option(
    "--input",
    "source",
    metavar="FILE",
    help="Texts to label: a line each (.txt, or - for stdin), or CSV, JSON lines, Parquet with the "
    "search's text column.",
)
@click.option(
    "--output", metavar="FILE", help="Write .csv or .jsonl there instead of a table to stdout."
)
@db_option
@json_option
def command(
    search: str,
    texts: tuple[str, ...],
    source: str | None,
    output: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """Label texts with a search's ensemble, in the order given.

    \b
    autoprompt predict latest "dull and far too long" "a joy"
    autoprompt predict movies --input new.csv --output labelled.csv
    """
    from autoprompt.api import load
    from autoprompt.cli.prediction_files import check_output, read_texts, write_predictions
    from autoprompt.cli.tables import console, table
    from autoprompt.progress import SearchProgress

    if bool(texts) == bool(source):
        raise click.UsageError("give either texts or --input FILE")
    if output:
        check_output(output)
    result = load(search, db=db)
    ensemble = result.ensemble
    given = list(texts) if not source else read_texts(source, result.record.config["data"]["text"])
    progress = SearchProgress()
    with progress.step("loading the model"):
        predictor = ensemble.predictor
    with progress.counting("texts labelled", len(given)) as advance:
        found = predictor.predict(given, advance)
    rows = [vars(each) for each in found]
    if output:
        write_predictions(output, rows)
    elif as_json:
        print_json(rows)
    else:
        columns = [
            ("label", "left"), ("probability", "right"), ("votes", "right"), ("text", "left"),
        ]  # fmt: skip
        cells = [(e.label, f"{e.probability:.3f}", f"{e.votes:.0%}", e.text) for e in found]
        console().print(table(f"Labels from {result.name}", columns, cells))
