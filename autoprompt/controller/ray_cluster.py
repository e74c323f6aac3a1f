"""Ray, started here for one search or joined where it already runs."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Read by Ray when it is imported or first used, so they stand before its import. A user's own
# setting wins.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # relative paths mean the same on a worker
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # SQL keeps the results
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a failed trial has no score
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")  # and nobody reads what Tune would keep
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # the supervisor has its own
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import torch
from ray.exceptions import RayError
from ray.job_config import JobConfig

from autoprompt.controller.ray_internals import withhold_secrets
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spec import SearchSpec
from autoprompt.store.location import in_ray_job

withhold_secrets()

#: So long an address may take to answer.
_ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, as one search uses it.

    Attributes:
        dashboard: URL of the Ray dashboard, or None where there is none.
        workers: how many trials run at a time; with `workers: auto`, as many as fit now.
        needs: what each worker takes, by Ray's names.
    """

    dashboard: str | None
    workers: int
    needs: dict[str, float]

    @property
    def options(self) -> dict[str, Any]:
        """The same as `ray.remote` has it."""
        named = {name: amount for name, amount in self.needs.items() if name not in ("CPU", "GPU")}
        cpus, gpus = self.needs.get("CPU", 0.0), self.needs.get("GPU", 0.0)
        return {"num_cpus": cpus, "num_gpus": gpus, "resources": named}


@contextmanager
def cluster(
    spec: SearchSpec,
    name: str,
    *,
    option: str = "search.ray_address",
    worker: str = "search: a worker",
) -> Iterator[Cluster]:
    """A Ray cluster with room for the search's workers; one that was started here is stopped.

    Args:
        name: the search's, which Ray's dashboard shows in the metadata of the job.
        option, worker: what errors call the address, and what needs room.

    Raises:
        BadInputError: no cluster at the address, or none that can take a worker.
    """
    joined = ray.is_initialized()
    dashboard = _connect(spec, name, joined, option)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs = _needs(spec, sum(node.get("GPU", 0.0) for node in nodes))
        room = sum(_fits(needs, node) for node in nodes)
        if room == 0:
            raise BadInputError(
                f"{worker} needs {_listed(needs)}; no node of the Ray cluster has that, "
                f"they have {'; '.join(_listed(node) for node in nodes)}"
            )
        yield Cluster(dashboard, room if spec.workers == "auto" else spec.workers, needs)
    finally:
        if not joined:
            ray.shutdown()


def _needs(spec: SearchSpec, gpus_there: float) -> dict[str, float]:
    if spec.gpus_per_worker == "auto":
        shares = 1 if spec.workers == "auto" else spec.workers
        gpus = min(1.0, gpus_there / shares)
    else:
        gpus = spec.gpus_per_worker
    needs = {"CPU": float(spec.cpus_per_worker), "GPU": gpus, **spec.resources_per_worker}
    return {name: amount for name, amount in needs.items() if amount}


def _fits(needs: dict[str, float], node: dict[str, float]) -> int:
    """How many workers a node has room for."""
    return int(min(node.get(name, 0.0) / amount for name, amount in needs.items()))


def _listed(resources: dict[str, float]) -> str:
    hidden = ("memory", "object_store_memory")
    shown = {
        key: amount for key, amount in resources.items() if key not in hidden and ":" not in key
    }
    return ", ".join(f"{amount:g} {name}" for name, amount in shown.items()) or "nothing"


def _connect(spec: SearchSpec, name: str, joined: bool, option: str) -> str | None:
    """Join or start Ray; the dashboard's URL."""
    wanted = 1 if spec.workers == "auto" else spec.workers
    quiet = {
        "job_config": JobConfig(metadata={"search": name}),
        "logging_level": logging.ERROR,
        "log_to_driver": False,
    }
    try:
        if joined:
            context = ray.init(ignore_reinit_error=True, **quiet)
        elif in_ray_job():
            context = ray.init(address="auto", **quiet)  # the cluster that runs the job
        elif spec.ray_address:
            _demand_answer(spec.ray_address)
            context = ray.init(address=spec.ray_address, **quiet)
        else:
            context = ray.init(
                address="local",
                # More workers than cores is the user's choice: slower, but not refused.
                num_cpus=max(os.cpu_count() or 1, wanted * spec.cpus_per_worker),
                num_gpus=torch.cuda.device_count(),
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                **quiet,
            )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = f"at {spec.ray_address}" if spec.ray_address else "on this machine"
        raise BadInputError(f"{option}: no Ray cluster {where}: {_reason(error)}") from error
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def _demand_answer(address: str) -> None:
    """Refuse at once an address where nothing listens; Ray would try it for minutes.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()


def _reason(error: Exception) -> str:
    """Why Ray would not have us, in one line."""
    message = str(error).strip()
    versions = re.findall(r"(Ray|Python): (\S+)", message)
    if message.startswith("Version mismatch") and len(versions) == 4:
        theirs, ours = (" and ".join(map(" ".join, pair)) for pair in (versions[:2], versions[2:]))
        return f"it runs {theirs}, and here is {ours}; install the same versions on both sides"
    if message.startswith("Failed to connect to Ray cluster"):
        return (
            "what answers there is no Ray, or does not accept our token (RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH to a file that holds it)"
        )
    return message.splitlines()[0] if message else type(error).__name__
