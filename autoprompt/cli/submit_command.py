import click

from autoprompt.cli.options import (
    address_option,
    json_option,
    print_json,
    settings_option,
    tag_option,
    time_limit_option,
)


@click.command()
@click.argument("config", metavar="CONFIG.yaml", type=click.Path())
@address_option
@settings_option
@click.option("--trials", type=int, help="How many trials, in the place of search.trials.")
@click.option("--workers", type=int, help="How many at a time, in the place of search.workers.")
@click.option("--seed", type=int, help="In the place of search.seed.")
@time_limit_option
@click.option("--name", help="The search's name; it must be free.")
@tag_option
@click.option("--resume", metavar="NAME", help="Go on with that search; CONFIG names its files.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the cluster has the job.")
@json_option
def command(
    config: str,
    settings: tuple[str, ...],
    address: str | None,
    trials: int | None,
    workers: int | None,
    seed: int | None,
    time_limit: str | None,
    name: str | None,
    tags: tuple[str, ...],
    resume: str | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Run a search on a Ray cluster, from a YAML file that is here.

    The file and the local data travel with the job. Its database is the cluster's AUTOPROMPT_DB,
    else the configuration's. This command ends when all is checked there and the search has begun;
    the job runs on. Ctrl-C only ends the waiting.

    --trials and its like come before --set, and --set before the file.
    """
    from autoprompt.cli.tables import console
    from autoprompt.config import SearchConfig
    from autoprompt.jobs.jobs import Jobs

    if resume and (settings or name or tags or trials or workers or seed is not None or time_limit):
        raise click.UsageError("--resume takes all but its files from the store: no other option")
    read = SearchConfig.read(config, settings).with_overrides(
        trials, workers, seed, name, time_limit=time_limit, tags=tags
    )
    jobs = Jobs(address)
    job = jobs.submit(read, name=name, resume=resume, say=lambda line: click.echo(line, err=True))
    click.echo(f"job {job.id} on {jobs.shown}: search {job.search}", err=True)
    if not no_wait:
        try:
            jobs.wait_until_begun(job, lambda line: click.echo(line, err=True))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"only the waiting; search {job.search} runs on") from None
        job = jobs.get(job.id)
    if as_json:
        print_json(job.as_dict() | {"address": jobs.shown})
        return
    at = f" --address {jobs.shown}" if address else ""
    console().print(
        f"Search {job.search} is a job on {jobs.shown}.\n"
        f"  autoprompt logs -f {job.search}{at}\n"
        f"  autoprompt status {job.search}{at}\n"
        f"  autoprompt stop {job.search}{at}",
        markup=False,
        soft_wrap=True,
    )
