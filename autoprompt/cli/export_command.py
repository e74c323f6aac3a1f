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
    type=click.Choice(["peft", "json", "tokens", "vllm"]),
    required=True,
    help="peft: an adapter that PEFT loads, for one soft or KV prompt before the text. json: any. "
    "tokens: the whole model, to whose vocabulary prompts of all kinds but KV are added, for "
    "servers that read text. vllm: a client that sends the same prompts to vLLM as embeddings.",
)
@click.option("--out", required=True, metavar="DIR", type=click.Path(), help="A new folder.")
@click.option("--trial", type=int, metavar="N", help="This trial's prompt, not the best one's.")
@click.option("--ensemble", is_flag=True, help="All prompts that vote; not with peft.")
@click.option(
    "--push",
    metavar="ORG/NAME",
    help="Upload it to the Hugging Face Hub, too, with the token of `hf auth login` or HF_TOKEN.",
)
@click.option(
    "--private/--public",
    default=True,
    show_default=True,
    help="With --push: whether only you and your organisation see it there.",
)
@db_option
def command(
    search: str,
    form: "Format",
    out: str,
    trial: int | None,
    ensemble: bool,
    push: str | None,
    private: bool,
    db: str | None,
) -> None:
    """Write the best prompt, or others, to a folder that other tools read.

    Beside the prompt: predict.py, which uses it with transformers alone (or client.py, with a
    vLLM server), and README.md, a model card with scores, intervals and data.

    \b
    autoprompt export latest --format json --out best
    python best/predict.py --model PATH_OR_ID "dull and far too long"
    """
    from pathlib import Path

    from autoprompt.api import load
    from autoprompt.export import hub
    from autoprompt.new_files import check_new
    from autoprompt.progress import SearchProgress

    check_new(Path(out), "--out")
    result, progress = load(search, db=db), SearchProgress()
    if push is not None:
        hub.check_push(push, private)
    with progress.step("exporting"):
        result.export(out, form, trial=trial, ensemble=ensemble)
    for file in sorted(Path(out).iterdir()):
        click.echo(str(file))
    if push is not None:
        progress.say(f"uploading to {push} ...")  # huggingface_hub shows how far it is
        click.echo(hub.push(Path(out), push, private))
