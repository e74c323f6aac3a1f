"""A server on this machine's own Ray, or on a cluster, for as long as it is wanted."""

import errno
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from autoprompt.api import load
from autoprompt.controller.ray_cluster import cluster
from autoprompt.ensemble.predictor import model_for
from autoprompt.progress import SearchProgress
from autoprompt.quiet import quiet
from autoprompt.search_spaces.errors import BadInputError, ClusterError
from autoprompt.search_spec import SearchSpec
from autoprompt.serving.app import application
from autoprompt.serving.settings import ServeSettings
from autoprompt.store import holds_a_secret, is_relative
from autoprompt.store.location import store_url

#: What the application is called where others run beside it.
NAME = "autoprompt"

#: A wait without an end would not hear of signals.
_LISTEN_SECONDS = 0.5


def check(searches: Sequence[str], db: str | None, progress: SearchProgress) -> list[str]:
    """The names of searches that can be served together.

    Raises:
        BadInputError: one is not there, has no ensemble, or is on another model.
    """
    with progress.step("checking the searches"):
        tasks = load(list(searches), db=db)
        model_for([result.ensemble for result in tasks])
    return [result.name for result in tasks]


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be listened on.

    Raises:
        BadInputError: it is taken, or not to be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise BadInputError(f"--port {port}: {why} on {host}; choose another one") from None


@contextmanager
def serving(
    settings: ServeSettings,
    digest: str | None,
    *,
    host: str,
    port: int,
    address: str | None,
    gpus: float | Literal["auto"],
    progress: SearchProgress,
) -> Iterator[None]:
    """While the server answers; it is left once all that was taken in has its answer.

    Args:
        digest: of the token; None lets everybody in.
        address: of a running cluster; None starts Ray here.
        gpus: for each replica; auto shares out those that are there.

    Raises:
        BadInputError: the port is taken, there is no cluster, or none that can hold a replica.
        ClusterError: the replicas could not be started.
    """
    if address is None:
        check_port(host, port)
    spec = SearchSpec(
        workers=settings.replicas,
        cpus_per_worker=settings.cpus_per_replica,
        gpus_per_worker=gpus,
        ray_address=address,
    )
    settings = settings.model_copy(update={"db": _told_store(settings.db, address)})
    with ExitStack() as stack:
        stack.enter_context(quiet("ray.serve", logging.ERROR))
        with progress.step("joining the cluster" if address else "starting Ray"):
            joined = stack.enter_context(
                cluster(spec, "serve", option="--address", worker="a replica")
            )
        gpus_each = joined.needs.get("GPU", 0.0)
        settings = settings.model_copy(update={"gpus_per_replica": gpus_each})
        if NAME in serve.status().applications:
            raise BadInputError(
                f"--address {address}: an application {NAME!r} runs there; `serve shutdown`, or "
                "deleting it, ends it"
            )
        with progress.step("loading the model"):
            stack.callback(_stop)
            _start(settings, digest, host, port, address is None)
        try:
            yield
        finally:
            progress.say("stopping: what was taken in is answered first ...")


def wait_for_signal() -> None:
    """Return at the first Ctrl-C or SIGTERM."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    while not asked.wait(_LISTEN_SECONDS):
        pass
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _start(settings: ServeSettings, digest: str | None, host: str, port: int, alone: bool) -> None:
    """Deploy, and wait until requests are answered."""
    places = ProxyLocation.HeadOnly if alone else ProxyLocation.EveryNode
    try:
        serve.start(
            proxy_location=places,
            http_options=HTTPOptions(host=host, port=port),
            logging_config=LoggingConfig(enable_access_log=False),
        )
        serve.run(application(settings, digest), name=NAME, route_prefix="/")
    except (RayError, RayServeException, RuntimeError) as error:
        raise ClusterError(f"the server could not be started: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why not, in one line: what the replicas themselves said, where they did."""
    statuses = serve.status().applications.get(NAME)
    told = [one.message for one in statuses.deployments.values()] if statuses else []
    lines = [line.strip() for text in (*told, str(error)) for line in text.splitlines()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*: ", line)]
    return (errors or [line for line in lines if line] or [type(error).__name__])[-1]


def _stop() -> None:
    """Take nothing in any more, and let replicas end what they have."""
    with suppress(RayError, RayServeException, RuntimeError):
        serve.delete(NAME)


def _told_store(db: str | None, address: str | None) -> str | None:
    """What replicas are told of the store: nothing that is a secret, which those of this machine
    have from its environment, and those of a cluster from their own.

    Raises:
        BadInputError: a file that other machines do not have.
    """
    url = store_url(db)
    if holds_a_secret(url):
        if address is None:
            os.environ["AUTOPROMPT_DB"] = url
        return None
    if is_relative(url):
        if address is not None:
            raise BadInputError(
                f"--address {address}: {url} lies in the current folder, which the cluster's nodes "
                "do not have; name a database that they reach"
            )
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).absolute()}"
    return url
