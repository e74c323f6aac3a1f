"""An Optuna study, rebuilt from the trials table."""

import json
import logging
from collections.abc import Sequence
from datetime import datetime

import optuna
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoprompt.quiet import quiet
from autoprompt.store import State, TrialRecord
from autoprompt.workers.direction import UP, Direction

_STATES = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
}


def build_study(
    trials: Sequence[TrialRecord],
    *,
    name: str | None = None,
    storage: str | None = None,
    sampler: optuna.samplers.BaseSampler | None = None,
    direction: Direction = UP,
) -> optuna.Study:
    """A study that holds these trials.

    Args:
        trials: in the order of their numbers. Optuna counts on its own, so where a number is
            missing, the user attribute `number` still says which trial it is.
        name: the study's name; Optuna makes one up where none is given.
        storage: an Optuna storage's URL; in memory without one.
        direction: which way the trials' scores are better.
    """
    with quiet("optuna", logging.WARNING):
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=sampler,
            direction="maximize" if direction.greater_is_better else "minimize",
        )
        study.add_trials(frozen_trial(trial, direction) for trial in trials)
    return study


def frozen_trial(trial: TrialRecord, direction: Direction = UP) -> FrozenTrial:
    """A stored trial as Optuna was told of it: at each rung the best score so far that as many
    validation texts gave. Pruned trials are compared at the rungs they reached, each of which the
    same texts judged for all of them.

    One that has not ended is a running trial.
    """
    state = _STATES.get(trial.state, TrialState.RUNNING)
    best = max if direction.greater_is_better else min
    scores: dict[int, float] = {}
    for rung in trial.rungs:
        same = [one for one in trial.rungs if one.judged == rung.judged and one.rung <= rung.rung]
        scores[rung.rung] = best(one.score for one in same)
    reached = scores[max(scores)] if trial.score is None and scores else trial.score
    attributes = {
        "number": trial.number,
        "kind": trial.kind,
        "prompt": trial.prompt,
        "loss": trial.loss,
        "seconds": trial.seconds,
        "error": trial.error,
    }
    frozen = create_trial(
        state=state,
        value=reached if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        params=trial.params,
        distributions={
            name: json_to_distribution(json.dumps(distribution))
            for name, distribution in trial.distributions.items()
        },
        intermediate_values=scores,
        user_attrs={name: value for name, value in attributes.items() if value is not None},
    )
    frozen.datetime_start = _local(trial.started_at)
    frozen.datetime_complete = _local(trial.finished_at) if state.is_finished() else None
    return frozen


def _local(moment: datetime | None) -> datetime | None:
    """Optuna's moments are local and know no time zone."""
    return moment.astimezone().replace(tzinfo=None) if moment else None
