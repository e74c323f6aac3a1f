from typing import TYPE_CHECKING

import click

from autoprompt.cli.options import db_option, search_argument

if TYPE_CHECKING:
    from autoprompt.export.prompt_folder import Format


@click.command()
@search_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["peft", "json", "tokens"]),
    required=True,
    help="peft: an adapter that PEFT loads, for one soft or KV prompt before the text. json: any. "
    "tokens: the whole model, to whose vocabulary prompts of all kinds but KV are added, for "
    "servers that read text.",
)
@click.option("--out", required=True, metavar="DIR", type=click.Path(), help="A new folder.")
@click.option("--trial", type=int, metavar="N", help="This trial's prompt, not the best one's.")
@click.option("--ensemble", is_flag=True, help="All prompts that vote (json, tokens).")
@db_option
def command(
    search: str, form: "Format", out: str, trial: int | None, ensemble: bool, db: str | None
) -> None:
    """Write the best prompt, or others, to a folder that other tools read.

    Beside the prompt: predict.py, which uses it with transformers alone, and README.md, a model
    card with scores, intervals and data.

    \b
    autoprompt export latest --format json --out best
    python best/predict.py --model PATH_OR_ID "dull and far too long"
    """
    from pathlib import Path

    from autoprompt.api import load
    from autoprompt.new_files import check_new
    from autoprompt.progress import SearchProgress

    check_new(Path(out), "--out")
    result = load(search, db=db)
    with SearchProgress().step("exporting"):
        result.export(out, form, trial=trial, ensemble=ensemble)
    for file in sorted(Path(out).iterdir()):
        click.echo(str(file))
