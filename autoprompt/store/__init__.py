"""The one way to the database: searches, trials, rungs, prompts, ensembles, evaluations."""

from autoprompt.store.records import (
    ConfirmationRecord,
    EvaluationRecord,
    PromptRecord,
    RungRecord,
    SearchRecord,
    TrialRecord,
)
from autoprompt.store.store import DEFAULT_URL, Store

__all__ = [
    "DEFAULT_URL",
    "ConfirmationRecord",
    "EvaluationRecord",
    "PromptRecord",
    "RungRecord",
    "SearchRecord",
    "Store",
    "TrialRecord",
]
