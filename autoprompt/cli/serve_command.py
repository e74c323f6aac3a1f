import os
import sys

import click

from autoprompt.cli.completion import searches
from autoprompt.cli.options import db_option


@click.command()
@click.argument(
    "names", metavar="SEARCH [SEARCH ...]", nargs=-1, required=True, shell_complete=searches
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--address", metavar="HOST:PORT", help="Of a running Ray cluster; else Ray is started here."
)
@click.option(
    "--replicas", default=1, show_default=True, type=click.IntRange(1), help="Copies of the model."
)
@click.option(
    "--max-replicas", type=click.IntRange(1), help="As many under load, and fewer without."
)
@click.option(
    "--cpus-per-replica",
    type=click.IntRange(1),
    help="Cores, one thread each; here all of them shared out, on a cluster 1.",
)
@click.option(
    "--gpus-per-replica", type=click.FloatRange(0), help="Or a part of one; else shared out."
)
@click.option("--token-file", metavar="FILE", help="Holds the token that requests must carry.")
@click.option("--no-token", is_flag=True, help="Answer anyone on this machine.")
@click.option("--public", is_flag=True, help="With --no-token: and anyone who reaches --host.")
@click.option("--max-text-length", type=click.IntRange(1), help="Characters a text; 20000.")
@click.option("--max-texts", type=click.IntRange(1), help="Texts a request; 256.")
@click.option("--max-body-bytes", type=click.IntRange(1), help="Bytes a request; 1 MiB.")
@click.option(
    "--max-waiting", type=click.IntRange(1), help="Texts that may wait, before 429; 1024."
)
@click.option(
    "--timeout-seconds",
    type=click.FloatRange(0, min_open=True),
    help="After which a request without an answer gets 503; 60.",
)
@click.option(
    "--poll-seconds",
    type=click.FloatRange(0, min_open=True),
    help="How often to look for a better ensemble; 5.",
)
@db_option
def command(
    names: tuple[str, ...],
    host: str,
    port: int,
    address: str | None,
    replicas: int,
    max_replicas: int | None,
    cpus_per_replica: int | None,
    gpus_per_replica: float | None,
    token_file: str | None,
    no_token: bool,
    public: bool,
    db: str | None,
    **limits: float | None,
) -> None:
    """Answer HTTP requests with searches' ensembles, until Ctrl-C or SIGTERM.

    \b
    autoprompt serve movies moods
    curl -H "Authorization: Bearer $(cat TOKEN_FILE)" -H "Content-Type: application/json" \\
      -d '{"search": "movies", "texts": ["a joy"]}' http://127.0.0.1:8000/v1/predict

    The searches are on one model, which is loaded once a replica; requests to any of them share
    batches. A search that gets a better ensemble, such as one that is resumed and finished, is
    answered by that from then on.

    Requests carry a token: that of --token-file, else AUTOPROMPT_SERVE_TOKEN, else the file that
    AUTOPROMPT_SERVE_TOKEN_FILE names, else one that is made and kept in a file.
    """
    from autoprompt.progress import SearchProgress
    from autoprompt.search_spaces.documents import parse
    from autoprompt.search_spaces.errors import BadInputError
    from autoprompt.serving.settings import ServeSettings
    from autoprompt.serving.token import TOKEN, digest_of, given_token, made_token
    from autoprompt.workers.extras import demand

    demand("fastapi", "serve")
    if public and not no_token:
        raise click.UsageError("--public only means something with --no-token")
    if no_token and token_file:
        raise click.UsageError("give either --token-file or --no-token")
    if no_token and not public and host not in ("127.0.0.1", "::1", "localhost"):
        raise BadInputError(
            f"--no-token: whoever reaches {host} would be answered; leave it out, or add --public"
        )
    cores = max((os.cpu_count() or 1) // replicas, 1)
    content = {
        "searches": names,
        "db": db,
        "replicas": replicas,
        "max_replicas": max_replicas,
        "cpus_per_replica": cpus_per_replica or (1 if address else cores),
        "no_token": no_token,
        **{name: limit for name, limit in limits.items() if limit is not None},
    }
    settings = parse(ServeSettings, content, "serve")
    digest = where = None
    if not no_token:
        token = given_token(token_file)
        os.environ.pop(TOKEN, None)
        if token is None:
            token, where = made_token()
        digest = digest_of(token)

    from autoprompt.serving.server import check, serving, wait_for_signal

    progress = SearchProgress()
    served = check(names, db, progress)
    settings = settings.model_copy(update={"searches": tuple(served)})
    with serving(
        settings,
        digest,
        host=host,
        port=port,
        address=address,
        gpus="auto" if gpus_per_replica is None else gpus_per_replica,
        progress=progress,
    ):
        shown = f"[{host}]" if ":" in host else host
        progress.say(
            f"serving {', '.join(served)} on http://{shown}:{port}; /docs tells how to ask"
        )
        if where is not None:
            progress.say(f"requests need the token in {where}")
        wait_for_signal()
    sys.exit(0)
