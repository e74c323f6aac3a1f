"""How far a search is: what the store knows of it, and what its job on the cluster does."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from autoprompt.api import load
from autoprompt.jobs.job_server import address_is_given
from autoprompt.jobs.jobs import Job, Jobs
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import ClusterError, JobNotFoundError, StoreError
from autoprompt.store import State


@dataclass(frozen=True)
class Status:
    """A search as the store has it, its newest job, or both.

    Attributes:
        problems: why one of the two is missing, a line each.
    """

    result: SearchResult | None
    job: Job | None
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """What `autoprompt status --json` prints; without a store, of the search only its name."""
        job = self.job.as_dict() if self.job else None
        if self.result is None:
            return {"name": self.job.search if self.job else None, "state": None, "job": job}
        seen = self.result.record.heartbeat_at
        return self.result.summary() | {
            "trials_asked_for": self._budget,
            "seen_at": seen.isoformat() if seen else None,
            "error": self.result.record.error,
            "job": job,
        }

    @property
    def _budget(self) -> int:
        assert self.result is not None
        return int(self.result.record.config["search"]["trials"])

    def lines(self) -> list[str]:
        """The same for a person."""
        lines = []
        if self.result is not None:
            summary, record = self.result.summary(), self.result.record
            counts = ", ".join(f"{n} {state}" for state, n in summary["trials"].items() if n)
            lines.append(f"search {record.id}: {record.name} is {record.state}")
            lines.append(f"trials: {counts or 'none yet'}; {self._budget} asked for")
            if summary["best_score"] is not None:
                lines.append(f"best: {summary['best_score']:.4f} {record.metric} on validation")
            if record.error:
                lines.append(f"error: {record.error}")
            if record.state == State.RUNNING and record.heartbeat_at:
                quiet = (datetime.now(UTC) - record.heartbeat_at).total_seconds()
                lines.append(f"last sign of life: {max(0.0, quiet):.0f} s ago")
        if self.job is not None:
            lines.append(f"job {self.job.id}: {self.job.state}")
            if self.job.is_over and self.result is not None and self.result.state == State.RUNNING:
                lines.append(
                    f"the job is over and the search was not closed; `autoprompt resume "
                    f"{self.result.name}` goes on with it"
                )
        return lines


def status(search: str, address: str | None = None, db: str | None = None) -> Status:
    """Look a search up in the store and on the cluster; one of them is enough.

    Args:
        search: its id or name, its job's id, or `latest`.

    Raises:
        StoreError: the store does not have it, or cannot be opened, and there is no job either.
    """
    problems: list[StoreError | ClusterError] = []
    result = job = None
    try:
        result = load(search, db=db)
    except StoreError as error:
        problems.append(error)
    try:
        job = Jobs(address).find(result.name if result else search)
    except JobNotFoundError:
        pass  # it was not submitted, or the cluster has forgotten
    except ClusterError as error:
        if address_is_given(address):
            problems.append(error)
    if result is None and job is None:
        raise problems[0]
    if result is None and job is not None and job.search != search:
        try:
            result = load(job.search, db=db)
            problems.clear()
        except StoreError as error:
            problems = [error]
    return Status(result, job, [str(problem) for problem in problems])
