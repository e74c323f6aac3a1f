from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from autoprompt.cli.completion import searches
from autoprompt.cli.options import db_option, json_option, search_argument

if TYPE_CHECKING:
    from autoprompt.workers.rows import Text


@click.command()
@search_argument
@click.argument("texts", metavar="[TEXT ...]", nargs=-1)
@click.option(
    "--search",
    "others",
    metavar="SEARCH",
    shell_complete=searches,
    multiple=True,
    help="Label by this search too; again for more. All on one model, which is loaded once.",
)
@click.option(
    "--input",
    "source",
    metavar="FILE",
    help="Texts to label: .txt with one a line, .csv, .tsv, .jsonl, .json, .parquet; - for stdin.",
)
@click.option("--input-format", type=click.Choice(["txt", "csv", "tsv", "jsonl"]), help="Of stdin.")
@click.option("--column", metavar="NAME", help="Of a table, the texts; as in the search otherwise.")
@click.option(
    "--output", metavar="FILE", help="Write .csv or .jsonl there; - for stdout, as --input does."
)
@click.option("--output-format", type=click.Choice(["csv", "jsonl"]), help="Of stdout.")
@db_option
@json_option
def command(
    search: str,
    texts: tuple[str, ...],
    others: tuple[str, ...],
    source: str | None,
    input_format: str | None,
    column: str | None,
    output: str | None,
    output_format: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """Label texts with a search's ensemble, in the order given.

    \b
    autoprompt predict latest "dull and far too long" "a joy"
    autoprompt predict movies --input new.csv --output labelled.csv
    tail -f reviews.txt | autoprompt predict movies --input - | jq .label

    A file may be larger than memory, and what comes down a pipe is labelled as it comes.

    A search that abstains (`abstain` in its configuration) gives no label, null, to a text that it
    is not sure enough of, and says why.

    In CSV, a cell that a spreadsheet would run as a formula (one that begins with = + - @, a tab or
    a line's end, and is no number) gets an apostrophe before it; JSON and JSON lines are exact.
    """
    from autoprompt.api import load
    from autoprompt.cli.labels import check_output, writing, written
    from autoprompt.cli.tables import console, table
    from autoprompt.cli.texts import columns_of, given_texts, text_source
    from autoprompt.progress import SearchProgress

    if bool(texts) == bool(source):
        raise click.UsageError("give either texts or --input FILE")
    if as_json and (output or output_format):
        raise click.UsageError("--json prints to stdout; leave out --output or --json")
    tasks = load([search, *others], db=db)
    named = len(tasks) > 1
    tabular = bool(texts) and not (output or output_format or as_json)
    output = output or "-"
    form = "json" if as_json else check_output(output, output_format)
    read = columns_of([task.config for task in tasks], column)
    given = text_source(source, input_format, read) if source else given_texts(texts, read)
    progress = SearchProgress()
    with progress.step("loading the model"):
        predictor = tasks.predictor

    def label(batch: "Sequence[Text]") -> list[dict[str, Any]]:
        labelled = predictor.predict(batch)
        return [
            ({"search": name} if named else {}) | vars(prediction)
            for row in zip(*labelled.values(), strict=True)
            for name, prediction in zip(labelled, row, strict=True)
        ]

    if tabular:
        columns = [
            ("label", "left"), ("probability", "right"), ("votes", "right"), ("text", "left"),
            *([("search", "left")] if named else []),
        ]  # fmt: skip
        cells = [
            (
                "(no answer)" if row["reason"] else written(row["label"]),
                "" if row["probability"] is None else f"{row['probability']:.3f}",
                f"{row['votes']:.0%}",
                row["text"],
            )
            + ((row["search"],) if named else ())
            for row in label(list(texts))
        ]
        title = f"Labels from {', '.join(result.name for result in tasks)}"
        console().print(table(title, columns, cells))
        return
    with (
        writing(output, form, predictor.labels, named, predictor.abstains) as writer,
        progress.counting("texts labelled", given.total, beside_stdout=output == "-") as advance,
    ):
        for batch in given.batches():
            writer.write(label(batch))
            advance(len(batch))
