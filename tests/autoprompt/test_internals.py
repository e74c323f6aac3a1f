"""Undocumented names of Ray and Optuna that one file each of ours uses: a line says which is gone.

When one of these fails after an upgrade, the file named in it is the one to mend.
"""

import inspect
import os
from typing import Any

import optuna
import pytest
import ray
from ray.dashboard.modules.dashboard_sdk import SubmissionClient
from ray.job_submission import JobSubmissionClient
from ray.tune import PlacementGroupFactory
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial

import autoprompt.controller.ray_cluster
from autoprompt.controller import ray_internals
from autoprompt.controller.optuna_internals import SeededTPE
from autoprompt.jobs.job_server import Client

RAY = "autoprompt/controller/ray_internals.py"
JOBS = "autoprompt/jobs/job_server.py"
OPTUNA = "autoprompt/controller/optuna_internals.py"


def stub(number: int) -> Any:
    config = {"trials": [{"number": number, "plan": {"kind": "soft", "seed": number}}]}
    trial = Trial("none", stub=True, config=config, evaluated_params=dict(config))
    trial.placement_group_factory = PlacementGroupFactory([{"CPU": 1}])
    trial.run_metadata.last_result = {"reports": [{"score": 0.5}], "done": True}
    return trial


def test_secrets_can_be_kept_from_workers() -> None:
    assert isinstance(ENV_VARS_TO_PROPAGATE, set), f"Ray passes variables on otherwise: {RAY}"
    assert autoprompt.controller.ray_cluster  # importing it withholds them
    assert not ENV_VARS_TO_PROPAGATE & ray_internals.SECRETS, f"Ray passes secrets on: {RAY}"


@pytest.mark.usefixtures("shared_ray")
def test_workers_start_at_the_controllers_niceness() -> None:
    ask = ray.remote(num_cpus=1)(lambda: os.nice(0))
    assert ray.get(ask.remote()) == os.nice(0), f"RAY_worker_niceness is not heard of: {RAY}"


def test_a_trial_has_an_actor_and_a_cause() -> None:
    trial = stub(0)
    assert hasattr(trial.temporary_state, "ray_actor"), f"no temporary_state.ray_actor: {RAY}"
    assert ray_internals.actor_of(trial) is None
    assert hasattr(Trial, "pickled_error_file"), f"what a worker raised is elsewhere: {RAY}"
    assert ray_internals.cause_of_death(trial) == ""


def test_a_trials_failures_are_counted_and_forgiven() -> None:
    trial = stub(0)
    trial.max_failures = 0
    trial.run_metadata.num_failures += 1
    assert not trial.should_recover()
    ray_internals.forgive(trial)
    assert trial.should_recover(), f"failures are counted elsewhere: {RAY}"


def test_little_is_kept_of_a_trial_that_is_over() -> None:
    """Tune holds every trial of a search, and writes the state of each at the end."""
    needs = PlacementGroupFactory([{"CPU": 1}])
    trial = stub(1)
    assert "seed" in trial.get_json_state()[0], f"Tune writes a trial's state otherwise: {RAY}"
    ray_internals.forget(trial, needs)
    assert not trial.evaluated_params
    assert trial.run_metadata.last_result == {"done": True}
    assert trial.get_json_state() == ("{}", "{}")
    assert trial.placement_group_factory is needs


def test_a_job_client_takes_its_address_and_a_limit_on_answers() -> None:
    assert issubclass(JobSubmissionClient, SubmissionClient), f"Ray's job client is another: {JOBS}"
    parameters = inspect.signature(SubmissionClient._do_request).parameters
    assert list(parameters)[:3] == ["self", "method", "endpoint"], (
        f"_do_request has changed: {JOBS}"
    )
    assert "kwargs" in parameters, f"_do_request passes no timeout on: {JOBS}"
    client = Client("http://127.0.0.1:1")
    assert client._address == "http://127.0.0.1:1", f"the address is not taken as given: {JOBS}"
    used = inspect.getsource(JobSubmissionClient)
    assert "_client_ray_version" in used, f"the client's version is kept elsewhere: {JOBS}"


def test_a_samplers_draws_follow_from_the_seed_and_the_number() -> None:
    sampler = SeededTPE(1)
    assert hasattr(sampler._rng.rng, "seed"), f"TPE draws from something else than _rng: {OPTUNA}"
    assert hasattr(sampler._random_sampler._rng.rng, "seed"), f"no _random_sampler: {OPTUNA}"
    study = optuna.create_study(sampler=sampler)
    assert study._get_trials(deepcopy=False, use_cache=True) == [], f"no _get_trials: {OPTUNA}"

    def first_draws() -> list[float]:
        # The same draw whatever was drawn before: here, nothing and one trial.
        study = optuna.create_study(sampler=SeededTPE(1))
        return [study.ask().suggest_float("x", 0, 1) for _ in range(2)]

    assert first_draws() == first_draws()
