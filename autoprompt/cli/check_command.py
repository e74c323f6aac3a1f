import click

from autoprompt.cli.options import db_option, json_option, print_json, settings_option


@click.command()
@click.argument("config", metavar="CONFIG.yaml", type=click.Path())
@settings_option
@db_option
@json_option
def command(config: str, settings: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """Say what a search will cost, and what is wrong with its YAML.

    All that `search` would refuse is refused here, in the same line. A few steps of training and
    judging are measured in this process, on this machine. Nothing is stored.

    \b
    autoprompt check --set search.trials=64 --set search.workers=4 search.yaml
    """
    import autoprompt
    from autoprompt.cli.cost_tables import print_cost

    found = autoprompt.check(autoprompt.SearchConfig.read(config, settings), db=db)
    if as_json:
        print_json(found)
    else:
        print_cost(found)
