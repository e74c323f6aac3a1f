"""The one way to the database: searches, trials, rungs, prompts, ensembles, evaluations."""

from autoprompt.store.database import DEFAULT_URL, PATIENCE_SECONDS, Database
from autoprompt.store.records import (
    BaselineRecord,
    Candidate,
    ConfirmationRecord,
    EvaluationRecord,
    FoldRecord,
    PromptRecord,
    RungRecord,
    SearchRecord,
    SearchSummary,
    TrialRecord,
)
from autoprompt.store.schema import Schema, check_store, read_schema, upgrade
from autoprompt.store.states import State
from autoprompt.store.store import Store
from autoprompt.store.urls import holds_a_secret, is_relative

__all__ = [
    "DEFAULT_URL",
    "PATIENCE_SECONDS",
    "BaselineRecord",
    "Candidate",
    "ConfirmationRecord",
    "Database",
    "EvaluationRecord",
    "FoldRecord",
    "PromptRecord",
    "RungRecord",
    "Schema",
    "SearchRecord",
    "SearchSummary",
    "State",
    "Store",
    "TrialRecord",
    "check_store",
    "holds_a_secret",
    "is_relative",
    "read_schema",
    "upgrade",
]
