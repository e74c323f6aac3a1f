import click


@click.command()
@click.argument("data", metavar="FILE", type=click.Path())
@click.option("--text", metavar="COLUMN", help="The column of texts, where it cannot be guessed.")
@click.option("--label", metavar="COLUMN", help="The column of labels, likewise.")
@click.option("--model", metavar="MODEL", help="A Hub id, a folder, or a .gguf file.")
@click.option("--out", metavar="FILE.yaml", type=click.Path(), help="A new file; else FILE's name.")
def command(
    data: str, text: str | None, label: str | None, model: str | None, out: str | None
) -> None:
    """Write a search's YAML from a file of labelled texts.

    FILE is CSV, TSV, JSON lines or Parquet; columns, labels, a template and sizes are read from it.
    The search runs as it is, and comments say what you may know better. No file is overwritten.

    \b
    autoprompt init tickets.csv
    autoprompt search tickets.yaml
    """
    from pathlib import Path

    from autoprompt.preparation.first_yaml import write_first_yaml

    path = Path(out or Path(data).with_suffix(".yaml").name)
    config = write_first_yaml(Path(data).expanduser(), path, text, label, model)
    words = ", ".join(list(config.task.label_words)[:8])
    click.echo(
        f"{path}: {len(config.task.label_words)} labels ({words}) of the column "
        f"{config.data.label!r}, texts of {config.data.text!r}, asked by {config.task.template!r}",
        err=True,
    )
    click.echo(f"Next:\n  autoprompt search {path}")
