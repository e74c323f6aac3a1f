"""Searches as jobs on a Ray cluster: submitted, followed and stopped over its job server.

A job is one run of `autoprompt search` or `autoprompt resume` on the cluster. Nothing secret is in
what is sent, since a cluster shows its jobs to all who may see it: the job takes the database's
URL from the cluster's own AUTOPROMPT_DB or AUTOPROMPT_DB_FILE.
"""

import asyncio
import contextlib
import re
import secrets
import shlex
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from ray.job_submission import JobDetails

from autoprompt.jobs.job_server import ANSWER_SECONDS, asking, connect
from autoprompt.search_spaces.errors import (
    BadInputError,
    ClusterError,
    JobFailedError,
    JobNotFoundError,
    StoreError,
)
from autoprompt.versions import owner

if TYPE_CHECKING:
    from autoprompt.config import SearchConfig

#: So long the cluster may be away while a job is followed, in seconds.
_AWAY_SECONDS = 300.0
#: A log that says nothing for so long is asked for again, in case the connection is dead.
_QUIET_SECONDS = 60.0
#: A search that is told to stop may take so long to close its trials; Ray would give it three.
_STOP_SECONDS = 60
_POLL_SECONDS = 0.5

#: The line with which a search begins, as the controller says it.
_BEGUN = re.compile(r"search \d+: ")
_ERROR = re.compile(r"^Error: (.*)$", re.MULTILINE)

_NAME = "autoprompt_search"
_OVER = ("stopped", "succeeded", "failed")


@dataclass(frozen=True)
class Job:
    """One run of a search on a cluster.

    Attributes:
        id: Ray's submission id.
        search: the search's name.
        state: pending, running, stopped, succeeded or failed.
        message: what Ray says of that state.
        exit_code: of the command, once it ended by itself.
    """

    id: str
    search: str
    state: str
    message: str
    exit_code: int | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_over(self) -> bool:
        return self.state in _OVER

    def as_dict(self) -> dict[str, Any]:
        """What `autoprompt jobs --json` prints of each job."""
        times = {"started_at": self.started_at, "finished_at": self.finished_at}
        named = {"job": self.id, "search": self.search, "state": self.state}
        return named | {key: moment and moment.isoformat() for key, moment in times.items()}


class Jobs:
    """The searches of one Ray cluster.

    Args:
        address: of its dashboard, http://HOST:8265; else RAY_API_SERVER_ADDRESS, else RAY_ADDRESS,
            else this machine's.

    Raises:
        ClusterError: it does not answer, asks for another token, or runs another Ray.
    """

    def __init__(self, address: str | None = None) -> None:
        self._client = connect(address)
        self.shown = self._client.shown

    def submit(
        self,
        config: "SearchConfig",
        *,
        name: str | None = None,
        resume: str | None = None,
        say: Any = lambda line: None,
    ) -> Job:
        """Start a search on the cluster, or go on with one.

        Args:
            name: the search's; without one, the configuration's, with a number where a job has it.
            resume: the name of a stored search to go on with, all but the files that the
                configuration names is read from the store.
            say: told, in a line each, of files that do not travel.

        Raises:
            BadInputError: a secret in the configuration, a file that is missing or too large, a
                search of that name that runs already. Nothing was started.
        """
        # Imported here: `logs` and `stop` do not wait for what reads data.
        from autoprompt.config import checked_name
        from autoprompt.preparation.job_files import CONFIG, FOLDER, VARIABLE, check_data, pack
        from autoprompt.preparation.metric_check import with_checked_metric

        if resume is not None:
            try:
                checked_name(resume)
            except ValueError as error:
                raise BadInputError(f"--resume takes the search's name: {error}") from None
        store = _store_to_send(config, say)
        config = with_checked_metric(config)
        check_data(config)
        names = {job.search for job in self.list() if resume is None or not job.is_over}
        wanted = resume or name or config.title
        if wanted in names and (resume or name):
            state = "runs on" if resume else "has a job on"
            raise BadInputError(
                f"search {wanted!r} {state} {self.shown}; `autoprompt jobs` lists them"
            )
        chosen = wanted
        for number in range(2, len(names) + 3):
            if chosen not in names:
                break
            chosen = f"{wanted}-{number}"
        command = ["resume", "--", chosen] if resume else ["search", CONFIG, f"--name={chosen}"]
        slug = re.sub(r"[^A-Za-z0-9]+", "-", chosen).strip("-").lower()
        with tempfile.TemporaryDirectory(prefix="autoprompt-job-") as folder:
            for line in pack(config, store, Path(folder)):
                say(line)
            with asking(self.shown):
                job_id = self._client.submit_job(
                    # `exec` leaves no shell between Ray's signals and the search.
                    entrypoint=f"exec autoprompt {shlex.join(command)}",
                    submission_id=f"autoprompt-{slug}-{secrets.token_hex(4)}",
                    metadata={"job_name": chosen, _NAME: chosen},
                    runtime_env={
                        "working_dir": folder,
                        "env_vars": {
                            VARIABLE: FOLDER,
                            "AUTOPROMPT_OWNER": owner(),
                            "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS),
                        },
                    },
                )
        return self.get(job_id)

    def list(self) -> list[Job]:
        """Every search's jobs, newest first."""
        with asking(self.shown):
            jobs = [job for job in self._client.list_jobs() if _NAME in (job.metadata or {})]
        jobs.sort(key=lambda job: job.start_time or 0, reverse=True)
        return [_job(details) for details in jobs]

    def get(self, job_id: str) -> Job:
        """A job by Ray's id."""
        with asking(self.shown):
            return _job(self._client.get_job_info(job_id))

    def find(self, reference: str) -> Job:
        """The newest job of a search by its name, one by its own id, or the `latest` of all.

        Raises:
            JobNotFoundError: there is none.
        """
        for job in self.list():
            if reference in (job.id, job.search, "latest"):
                return job
        raise JobNotFoundError(
            f"cluster {self.shown}: no job of a search {reference!r}; `autoprompt jobs` lists them"
        )

    def logs(self, job: Job) -> str:
        """What a job has said so far."""
        with asking(self.shown):
            return self._client.get_job_logs(job.id)

    def follow(self, job: Job) -> Iterator[str]:
        """What a job says, in pieces, as it says it, until it is over.

        Ray's own tail can end, or hang, while the job runs: it is taken up again until the job's
        state is final, and what was said already is not said again.

        Raises:
            ClusterError: the cluster was away for five minutes.
        """
        shown = 0
        away_since: float | None = None
        while True:
            try:
                place = 0
                for piece in self._tail(job):
                    new = piece[max(0, shown - place) :]
                    place += len(piece)
                    if new:
                        shown = place
                        yield new
                if self.get(job.id).is_over:
                    yield self.logs(job)[shown:]
                    return
                away_since = None
            except ClusterError:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > _AWAY_SECONDS:
                    raise
            time.sleep(_POLL_SECONDS)

    def _tail(self, job: Job) -> Iterator[str]:
        """One attachment to the log, from its beginning to wherever it breaks off."""
        pieces: AsyncIterator[str] = self._client.tail_job_logs(job.id)
        # Whatever broke it off, the job's state tells whether there is more to come.
        broken = contextlib.suppress(
            StopAsyncIteration, TimeoutError, OSError, RuntimeError, aiohttp.ClientError
        )
        with broken, asyncio.Runner() as runner:
            while True:
                yield runner.run(_next(pieces))

    def wait_until_begun(self, job: Job, say: Any) -> None:
        """Until the search is in the store.

        Args:
            say: told what the job says meanwhile, line by line.

        Raises:
            BadInputError: the job found something that will not do, and ended.
            JobFailedError: it ended for another reason.
        """
        rest = ""
        for piece in self.follow(job):
            *lines, rest = (rest + piece).split("\n")
            for line in lines:
                # Its error is raised below, and need not be said twice.
                if not _ERROR.match(line):
                    say(line)
                if _BEGUN.match(line):
                    return
        self.demand_success(job)

    def demand_success(self, job: Job) -> None:
        """Raise what made a job that is over fail.

        Raises:
            BadInputError: its command refused what it was given.
            JobFailedError: it failed otherwise.
        """
        job = self.get(job.id)
        if job.state != "failed":
            return
        if job.exit_code == 127:
            raise ClusterError(
                f"cluster {self.shown}: has no autoprompt; install this version of it, with what "
                "it needs, on every node (or use the image of deploy/)"
            )
        errors = _ERROR.findall(self.logs(job))
        if job.exit_code is not None and errors:
            kind = BadInputError if job.exit_code == 2 else JobFailedError
            raise kind(f"job {job.id}: {errors[-1]}")
        lines = [line for line in job.message.splitlines() if line.strip()]
        # Ray puts the reason last where it shows a log or a traceback.
        raise JobFailedError(f"job {job.id}: {lines[-1].strip() if lines else 'failed'}")

    def stop(self, job: Job) -> Job:
        """Stop a job as one Ctrl-C would, and wait until it is over.

        Raises:
            JobFailedError: it is still there long after it should have been killed.
        """
        with asking(self.shown):
            self._client.stop_job(job.id)
        deadline = time.monotonic() + _STOP_SECONDS + ANSWER_SECONDS
        while not (job := self.get(job.id)).is_over:
            if time.monotonic() > deadline:
                raise JobFailedError(f"job {job.id}: is still {job.state}, though told to stop")
            time.sleep(_POLL_SECONDS)
        return job


def find(jobs: Jobs, search: str, db: str | None = None) -> Job:
    """The newest job of a search; only an id asks the store, for the name.

    Raises:
        JobNotFoundError: the cluster has none.
        StoreError: an id that the store does not have, or no store.
    """
    if search.isdigit():
        from autoprompt.api import load

        search = load(search, db=db).name
    return jobs.find(search)


def _store_to_send(config: "SearchConfig", say: Any) -> str | None:
    """The configuration's database, if it is the cluster's as well."""
    from autoprompt.store import holds_a_secret, is_relative

    url = config.store
    if url is None:
        return None
    if holds_a_secret(url):
        raise StoreError(
            f"{config.source}: store: the URL holds a password, and a cluster shows its jobs to "
            "all who may see it; take it out, and give the cluster AUTOPROMPT_DB, "
            "AUTOPROMPT_DB_FILE (a file with the URL) or PGPASSFILE"
        )
    if is_relative(url):
        say(f"{url} is a file of this folder: the job takes the cluster's AUTOPROMPT_DB")
        return None
    return url


async def _next(pieces: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(pieces), _QUIET_SECONDS)


def _job(details: JobDetails) -> Job:
    return Job(
        id=details.submission_id,
        search=details.metadata[_NAME],
        state=str(details.status).lower(),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        started_at=_moment(details.start_time),
        finished_at=_moment(details.end_time),
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
