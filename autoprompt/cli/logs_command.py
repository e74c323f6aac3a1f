import click

from autoprompt.cli.options import address_option, db_option, search_argument


@click.command()
@search_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@address_option
@db_option
def command(search: str, follow: bool, address: str | None, db: str | None) -> None:
    """Print what a search's job says; -f follows it to its end.

    SEARCH is the search's id or name, a job's own id, or `latest`. With -f the exit code is the
    job's: 0 done or stopped, 1 failed, 2 bad input.
    """
    from autoprompt.jobs.jobs import Jobs, find

    jobs = Jobs(address)
    job = find(jobs, search, db)
    if not follow:
        click.echo(jobs.logs(job), nl=False)
        return
    for piece in jobs.follow(job):
        click.echo(piece, nl=False)
    jobs.demand_success(job)
