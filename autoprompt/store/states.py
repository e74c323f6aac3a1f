"""The states of trials and of searches."""

from enum import StrEnum


class State(StrEnum):
    """Of a trial or a search.

    Trials are running, complete, pruned or failed, in Optuna's words; searches are running,
    finished or failed. Both are stopped when a search was, and a resume goes on with them.
    """

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    STOPPED = "stopped"
    FINISHED = "finished"
