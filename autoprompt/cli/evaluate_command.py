import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument
from autoprompt.workers.metrics import METRICS


@click.command()
@search_argument
@click.option(
    "--data",
    metavar="FILE",
    help="Labelled texts: CSV, TSV, JSON lines, Parquet, or a Hub id.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Another model, a Hub id or a folder: the search's hard prompts on it, beside its own "
    "zero-shot; on the validation texts where no --data are given.",
)
@click.option(
    "--text", metavar="COLUMN", help="Its column of texts, if not called as in the search."
)
@click.option("--label", metavar="COLUMN", help="Likewise, of labels.")
@click.option(
    "--metric",
    metavar="NAME",
    help=f"In the place of the search's: {', '.join(METRICS)}; or your own as module:function.",
)
@click.option(
    "--retrain",
    is_flag=True,
    help="Train the baselines again that keep no model (LoRA, fine-tuning), to see them here, too.",
)
@db_option
@json_option
def command(
    search: str,
    data: str | None,
    model: str | None,
    text: str | None,
    label: str | None,
    metric: str | None,
    retrain: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Score a search's prompts on other labelled texts, or its words on another model.

    The best prompt, the ensemble and its members, beside the template alone and the search's
    baselines, each with its 95% interval. The labels must be the search's. Scores are kept in the
    store and shown in the report; opening the same texts again is recorded, and said.

    \b
    autoprompt evaluate movies --data amazon.csv
    autoprompt evaluate movies --model HuggingFaceTB/SmolLM2-360M-Instruct
    """
    from autoprompt.api import load
    from autoprompt.cli.score_tables import print_evaluation, print_other_model

    if data is None and model is None:
        raise click.UsageError("nothing to evaluate on: give --data FILE, or --model MODEL")
    result = load(search, db=db)
    if model is not None:
        if text or label or metric or retrain:
            raise click.UsageError("--text, --label, --metric, --retrain go with --data alone")
        travelled = result.on_other_model(model, data)
        if as_json:
            print_json(travelled)
        else:
            print_other_model(travelled)
        return
    assert data is not None
    scored = result.evaluate(data, text=text, label=label, metric=metric, retrain=retrain)
    if as_json:
        print_json(scored)
    else:
        print_evaluation(result, scored)
