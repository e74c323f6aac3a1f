"""Options and arguments that several commands share."""

import json
from collections.abc import Iterable
from typing import Any

import click

db_option = click.option("--db", metavar="URL", help="The store's database URL.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
search_argument = click.argument("search", metavar="SEARCH")


def print_json(document: Any) -> None:
    """Exactly one JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_list(items: Iterable[Any]) -> None:
    """One JSON list on stdout, written as its items come."""
    opening = "["
    for item in items:
        click.echo(f"{opening}\n  {json.dumps(item, ensure_ascii=False)}", nl=False)
        opening = ","
    click.echo("[]" if opening == "[" else "\n]")
