"""What is used of Ray that Ray does not document, and nothing but that.

`tests/autoprompt/test_internals.py` holds each of these against the installed Ray.
"""

import os
import re
from pathlib import Path
from typing import Any

#: Ray starts workers nicer than whatever started it, so that beside any other program a search
#: starves. Read by the node's raylet, when that is started.
os.environ.setdefault("RAY_worker_niceness", "0")

from ray import cloudpickle
from ray.exceptions import RayTaskError
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial

#: Tune would copy these into its workers' runtime environment, which the dashboard shows to all.
SECRETS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}


def withhold_secrets() -> None:
    """Let no secret of this process into the workers' runtime environment."""
    ENV_VARS_TO_PROPAGATE.difference_update(SECRETS)


def actor_of(trial: Trial) -> Any | None:
    """The handle of the actor that carries out a trial, if one does."""
    return trial.temporary_state.ray_actor


def forgive(trial: Trial) -> None:
    """Count its workers' deaths from 0 again."""
    trial.run_metadata.num_failures = 0


def forget(trial: Trial, needs: Any) -> None:
    """Let go of what Tune keeps of an ended trial, and writes down in its scratch folder.

    Args:
        needs: the placement group factory to share; every trial has its own copy of the same.
    """
    trial.placement_group_factory = needs
    trial.get_json_state = _no_state
    trial.evaluated_params.clear()
    trial.experiment_tag = ""
    kept = trial.run_metadata
    kept.last_result = {"done": True}  # of one that has none, Tune asks the worker
    kept.metric_analysis.clear()
    kept.metric_n_steps.clear()


def _no_state() -> tuple[str, str]:
    """What Tune writes of a trial: its state, and the state of its run."""
    return "{}", "{}"


def cause_of_death(trial: Trial) -> str:
    """What Ray says of a worker that died; where it raised, the error first, then where from.

    Tune's own `get_pickled_error` looks at a copy of this file that is made later.
    """
    if trial.run_metadata.pickled_error_filename is None:
        return ""
    error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    trace = re.sub(r"\x1b\[\d+m", "", str(error)).strip()
    if not isinstance(error, RayTaskError):
        return trace
    return f"{type(error.cause).__name__}: {error.cause}\n{trace}"
