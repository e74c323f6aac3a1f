import click

from autoprompt.cli.completion import presets
from autoprompt.search_spaces import Space, load_space, preset_names, preset_path


@click.command()
@click.argument("name", required=False, shell_complete=presets)
def command(name: str | None) -> None:
    """List the preset search spaces, or print one to copy.

    \b
    autoprompt spaces                    what there is
    autoprompt spaces quick > mine.yaml  then say `space: mine.yaml` in the search's YAML
    """
    from pathlib import Path

    if name is not None:
        click.echo(preset_path(name).read_text(encoding="utf-8"), nl=False)
        return
    from autoprompt.cli.tables import console, table

    rows = []
    for preset in preset_names():
        space: Space = load_space(preset, Path(), "spaces")
        rows.append((preset, ", ".join(space.kinds), space.description))
    columns = [("name", "left"), ("kinds", "left"), ("for", "left")]
    console().print(table("Preset spaces", columns, rows))
