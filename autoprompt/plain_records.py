"""Records of the store as plain values, for JSON."""

from typing import Any

from autoprompt.store import EvaluationRecord, TrialRecord


def trial_as_dict(trial: TrialRecord) -> dict[str, Any]:
    """What `autoprompt trials --json` prints of each trial."""
    part = trial.judged_by_part
    return {
        "number": trial.number,
        "state": trial.state,
        "kind": trial.kind,
        "score": trial.score,
        "loss": trial.loss,
        "judged": part.judged if part else None,
        "params": trial.params,
        "plan": trial.plan,
        "prompt": trial.prompt,
        "tokens": trial.tokens,
        "seconds": round(trial.seconds, 3),
        "error": trial.error,
        "worker": trial.worker,
        "models_loaded": trial.models_loaded,
        "texts_encoded": trial.texts_encoded,
        "rungs": [vars(rung) for rung in trial.rungs],
    }


def opening_as_dict(evaluation: EvaluationRecord) -> dict[str, Any]:
    """Who opened which held-out texts, when and for what; without the scores."""
    return {
        "source": evaluation.source,
        "fingerprint": evaluation.fingerprint,
        "purpose": evaluation.purpose,
        "opened_by": evaluation.opened_by,
        "opened_at": evaluation.opened_at.isoformat(),
    }
