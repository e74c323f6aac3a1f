import click

from autoprompt.cli.completion import searches
from autoprompt.cli.options import (
    db_option,
    json_option,
    print_json,
    settings_option,
    tag_option,
    time_limit_option,
)


@click.command()
@click.argument("config", metavar="CONFIG.yaml", type=click.Path())
@settings_option
@click.option("--trials", type=int, help="How many trials, in the place of search.trials.")
@click.option("--workers", type=int, help="How many at a time; 0: here, without Ray.")
@click.option("--seed", type=int, help="In the place of search.seed.")
@time_limit_option
@click.option("--name", help="The search's name; it must be free.")
@tag_option
@click.option(
    "--warm-start",
    metavar="SEARCH",
    shell_complete=searches,
    help="An earlier search to learn from, or auto: the nearest.",
)
@db_option
@json_option
def command(
    config: str,
    settings: tuple[str, ...],
    trials: int | None,
    workers: int | None,
    seed: int | None,
    time_limit: str | None,
    name: str | None,
    tags: tuple[str, ...],
    warm_start: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """Run a search from a YAML file, then print what `show` prints.

    Everything is checked before anything starts: the file, the data, the model, the store. While
    it runs, every trial is in the store as soon as it reports; `autoprompt show latest` in another
    terminal shows how far it is.

    --trials and its like come before --set, and --set before the file:

    \b
    autoprompt search --set model.dtype=float32 --set space.soft.steps=40 search.yaml
    autoprompt search --set 'space={soft: {length: 4, learning_rate: 0.02, steps: 60}}' search.yaml
    """
    import autoprompt
    from autoprompt.cli.baselines_table import print_baselines
    from autoprompt.cli.result_tables import print_result
    from autoprompt.cli.tables import console

    result = autoprompt.search(
        autoprompt.SearchConfig.read(config, settings).with_overrides(tags=tags),
        trials=trials,
        workers=workers,
        seed=seed,
        name=name,
        warm_start=warm_start,
        time_limit=time_limit,
        db=db,
    )
    if as_json:
        print_json(result.as_dict())
        return
    print_result(result)
    print_baselines(result.baselines, result.verdicts)
    # A URL with a user in it may hold a password, which belongs in no terminal's history.
    given = f" --db {'URL' if '@' in db else db}" if db else ""
    console().print(
        f"Next:\n"
        f'  autoprompt predict {result.name}{given} "a text of yours"\n'
        f"  autoprompt trials {result.name}{given}\n"
        f"  autoprompt show {result.name}{given} --json",
        markup=False,
    )
