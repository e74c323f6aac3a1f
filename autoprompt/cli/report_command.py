import click

from autoprompt.cli.options import db_option, search_argument


@click.command()
@search_argument
@click.option("--out", required=True, metavar="FILE.html", type=click.Path(), help="A new file.")
@click.option("--no-texts", is_flag=True, help="Let no text of the data into the file.")
@click.option(
    "--explain",
    is_flag=True,
    help="Also what the best prompt's parts do, see `explain`; and clusters by hidden states.",
)
@db_option
def command(search: str, out: str, no_texts: bool, explain: bool, db: str | None) -> None:
    """Write a search's report: one HTML file, readable without a network.

    Scores with their intervals, history, what mattered, the prompts, where the ensemble was wrong
    (by label, length, word and cluster), and the texts that were most often wrong; with --no-texts,
    their numbers alone. Files are told by name, not by folder. Works for a search that is still
    running, too. With --explain the model is loaded.
    """
    from pathlib import Path

    from autoprompt.api import load
    from autoprompt.new_files import check_new

    check_new(Path(out), "--out")
    load(search, db=db).report(out, texts=not no_texts, explain=explain)
    click.echo(out)
