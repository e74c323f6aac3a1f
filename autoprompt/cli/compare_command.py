from typing import Any

import click

from autoprompt.cli.completion import searches
from autoprompt.cli.options import db_option, json_option, print_json

_NAMES = {"best": "best prompt", "ensemble": "ensemble"}


@click.command()
@click.argument("a", metavar="A", shell_complete=searches)
@click.argument("b", metavar="B", shell_complete=searches)
@click.option(
    "--data",
    metavar="SOURCE",
    help="What both were evaluated on, in the place of their test splits.",
)
@click.option("--metric", metavar="NAME", help="In the place of the searches' own.")
@click.option("--plot", metavar="FILE.svg", type=click.Path(), help="Draw it in a new file.")
@db_option
@json_option
def command(
    a: str,
    b: str,
    data: str | None,
    metric: str | None,
    plot: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """Compare two searches on the same held-out texts, by their paired difference.

    The scores of A and B, of their best prompts and of their ensembles, and A less B with its 95%
    interval: closer than two separate intervals can tell, since easy and hard texts are the same
    for both. Nothing is scored again, so no model is needed.

    Where more than two searches were opened on these texts, whoever picks two of them after a look
    at the scores finds a difference too easily: the corrected interval and p hold for every pair.

    Two test splits are the same where data, sizes and seed are. Otherwise evaluate both on one
    file:

    \b
    autoprompt compare words vectors
    autoprompt evaluate words --data new.csv
    autoprompt evaluate vectors --data new.csv
    autoprompt compare words vectors --data new.csv --plot difference.svg
    """
    from autoprompt.api import compare

    comparison = compare(a, b, data=data, metric=metric, plot=plot, db=db)
    if as_json:
        print_json(comparison)
        return
    _print(comparison)
    if plot is not None:
        click.echo(plot)


def _print(comparison: dict[str, Any]) -> None:
    """All that it tells a person."""
    from autoprompt.cli.tables import console, number, table

    a, b = comparison["searches"]
    pairs, opened = comparison["looks"]["pairs"], comparison["looks"]["searches"]
    columns = [
        ("", "left"), (a, "right"), (b, "right"), ("difference", "right"),
        ("95% interval", "right"), ("p", "right"),
    ]  # fmt: skip
    columns += [("corrected", "right"), ("p", "right")] if pairs > 1 else []
    rows = []
    for key, name in _NAMES.items():
        row = comparison[key]
        cells = [name, number(row["a"]), number(row["b"]), f"{row['difference']:+.4f}"]
        cells += _judged(row) + (_judged(row["corrected"]) if pairs > 1 else [])
        rows.append(cells)
    out = console()
    title = f"{comparison['metric']} on {comparison['texts']} texts ({comparison['data']})"
    out.print(table(title, columns, rows))
    for key, name in _NAMES.items():
        row = comparison[key]
        verdict = (
            f"{row['better']} is better by more than chance"
            if row["better"]
            else "no difference beyond chance"
        )
        out.print(
            f"{name.capitalize()}: {verdict} ({row['test']}; interval: {row['method']}); the same "
            f"answer for {row['agree']:.1%} of the texts.",
            markup=False,
        )
    if pairs > 1:
        out.print(
            f"These texts were opened for {opened} searches of this store; corrected for all "
            f"{pairs} pairs of them (Bonferroni)."
        )


def _judged(row: dict[str, Any]) -> list[str]:
    p = "<0.0001" if row["p"] < 0.0001 else f"{row['p']:.4f}"
    return [f"{row['low']:+.4f} to {row['high']:+.4f}", p]
