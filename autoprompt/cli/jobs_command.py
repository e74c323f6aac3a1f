import click

from autoprompt.cli.options import address_option, json_option, print_json


@click.command()
@address_option
@json_option
def command(address: str | None, as_json: bool) -> None:
    """List the searches of a Ray cluster, newest first.

    A search that was resumed there has several jobs. Ray forgets its jobs when its head restarts;
    the searches stay in the store, where `autoprompt list` finds them.
    """
    from autoprompt.cli.tables import console, table
    from autoprompt.jobs.jobs import Jobs

    cluster = Jobs(address)
    jobs = cluster.list()
    if as_json:
        print_json([job.as_dict() for job in jobs])
        return
    columns = [("search", "left"), ("state", "left"), ("started", "left"), ("job", "left")]
    rows = [
        (
            job.search,
            job.state,
            f"{job.started_at:%Y-%m-%d %H:%M}" if job.started_at else "-",
            job.id,
        )
        for job in jobs
    ]
    console().print(table(f"Searches on {cluster.shown}", columns, rows))
