import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument


@click.command()
@search_argument
@click.option(
    "--explain", is_flag=True, help="Also what the best prompt's parts do; see `explain`."
)
@db_option
@json_option
def command(search: str, explain: bool, db: str | None, as_json: bool) -> None:
    """Show a search: leaderboard, winning prompts, test scores.

    Works while it runs, and when the cluster is gone: all of it is read from the store. With
    --explain the model is loaded, too.
    """
    from autoprompt.api import load
    from autoprompt.cli.baselines_table import print_baselines
    from autoprompt.cli.result_tables import print_result
    from autoprompt.cli.score_tables import print_left_out

    result = load(search, db=db)
    explained = result.explain() if explain else None
    if as_json:
        print_json(result.as_dict() | ({"explained": explained} if explained else {}))
        return
    print_result(result)
    print_baselines(result.baselines, result.verdicts)
    if explained:
        print_left_out(explained)
