import click

from autoprompt.cli.options import (
    address_option,
    db_option,
    json_option,
    print_json,
    search_argument,
)


@click.command()
@search_argument
@address_option
@db_option
@json_option
def command(search: str, address: str | None, db: str | None, as_json: bool) -> None:
    """Stop a search's job as one Ctrl-C would, so that it can be resumed.

    What its trials reported stays in the store. A job that does not end by itself within a minute
    is killed; it can be resumed as well.
    """
    from autoprompt.jobs.jobs import Jobs, find
    from autoprompt.progress import SearchProgress

    jobs = Jobs(address)
    job = find(jobs, search, db)
    was_over = job.is_over
    if not was_over:
        with SearchProgress().step(f"stopping {job.id}"):
            job = jobs.stop(job)
    if as_json:
        print_json(job.as_dict())
        return
    click.echo(f"Job {job.id} {'was over already: ' if was_over else 'is '}{job.state}.")
    if job.state != "succeeded":
        at = f" --address {jobs.shown}" if address else ""
        click.echo(
            f"To go on with the search, on the cluster or here:\n"
            f"  autoprompt submit CONFIG.yaml --resume {job.search}{at}\n"
            f"  autoprompt resume {job.search}"
        )
