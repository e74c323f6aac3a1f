"""What the store hands out: plain values that need no database any more."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from autoprompt.store.states import State
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.direction import Direction


@dataclass(frozen=True)
class SearchRecord:
    """One search.

    `greater_is_better` is the metric's, which may be a user's own that is not here any more.
    """

    id: int
    name: str
    state: State
    model: str
    metric: str
    greater_is_better: bool
    seed: int
    config: dict[str, Any]
    versions: dict[str, Any]
    data: dict[str, Any]
    error: str | None
    started_at: datetime
    finished_at: datetime | None
    ensemble: dict[str, Any] | None
    controller: str | None
    heartbeat_at: datetime | None
    best: int | None
    calibration: dict[str, Any] | None
    warnings: list[str] | None
    warm_start: dict[str, Any] | None
    owner: str | None
    tags: list[str] | None

    @property
    def direction(self) -> Direction:
        """Which way its scores are better; those of the records below are oriented by it."""
        return Direction(self.greater_is_better)


@dataclass(frozen=True)
class SearchSummary:
    """A search as a list shows it: `counts` of its trials by state, the best validation score."""

    search: SearchRecord
    counts: dict[str, int]
    best_score: float | None


@dataclass(frozen=True)
class RungRecord:
    """What a trial reported at one rung; `loss` in nats, `seconds` since the last rung.

    `gradient_norm` is of the last step's gradient, None in searches of older versions. `judged` is
    how many validation texts judged it, None for all of them: scores of others do not rank beside
    those."""

    rung: int
    step: int
    score: float
    loss: float
    train_loss: float
    seconds: float
    gradient_norm: float | None = None
    judged: int | None = None


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        distributions: what `params` were drawn from, as Optuna writes it in JSON.
        attempts: how often a worker has begun it; `note` says why it had to begin again.
        score: validation metric of the best rung that all validation texts judged; None before
            there is one, as of a trial that was stopped when a part of them had judged it.
        prompt: the best rung's prompt as text; of a soft one, its name.
        tokens: that it costs each text; None where that is not known, as in older versions.
    """

    number: int
    state: State
    kind: str
    score: float | None
    loss: float | None
    params: dict[str, Any]
    distributions: dict[str, Any]
    plan: dict[str, Any]
    prompt: str | None
    seconds: float
    error: str | None
    traceback: str | None
    worker: str | None
    models_loaded: int
    texts_encoded: int
    attempts: int
    note: str | None
    started_at: datetime
    finished_at: datetime | None
    tokens: int | None = None
    rungs: list[RungRecord] = field(default_factory=list)

    def natural(self, direction: Direction) -> "TrialRecord":
        """The same with scores to show."""
        if direction.greater_is_better:
            return self
        rungs = [replace(rung, score=direction.natural(rung.score)) for rung in self.rungs]
        score = None if self.score is None else direction.natural(self.score)
        return replace(self, score=score, rungs=rungs)

    @property
    def judged_by_part(self) -> RungRecord | None:
        """The last rung, of a trial that has no score as a part of the texts alone judged it."""
        return self.rungs[-1] if self.score is None and self.rungs else None

    @property
    def ended(self) -> bool:
        """Whether it counts on the budget: nothing will run it again."""
        return self.state in (State.COMPLETE, State.PRUNED, State.FAILED)


@dataclass(frozen=True)
class Candidate:
    """What may vote, with all that the ensemble needs to choose by: a prompt, or a baseline.

    Attributes:
        number: the trial's; None of a baseline.
        digest: equal for those that do the same.
        content: the prompt, or what the baseline has learnt, as safetensors.
        log_probs: [B, L] of the texts that judge it, as safetensors.
        plan: the trial's.
        fold: the fold that a prompt left out, and of which division, as repeat.fold; None of the
            trial's own prompt.
        baseline: its name; None of a prompt.
    """

    number: int | None
    kind: str
    score: float
    loss: float
    digest: str
    text: str
    content: bytes
    log_probs: bytes
    plan: dict[str, Any] = field(default_factory=dict)
    fold: str | None = None
    baseline: str | None = None

    @property
    def reference(self) -> int | str:
        """By what an ensemble knows it: the trial's number, or the baseline's name."""
        if self.baseline is not None:
            return self.baseline
        assert self.number is not None
        return self.number

    @property
    def fitted(self) -> tuple[str, bytes] | None:
        """The name and content of a baseline; None where the content is a prompt, as that of some
        baselines is."""
        if self.baseline is None or BASELINES[self.baseline].does == "ask":
            return None
        return self.baseline, self.content

    def natural(self, direction: Direction) -> Self:
        """The same with its score to show."""
        return replace(self, score=direction.natural(self.score))


@dataclass(frozen=True)
class PromptRecord(Candidate):
    """A trial's best prompt: judged by the validation texts; one that learnt all but a fold, by
    that fold."""

    number: int


@dataclass(frozen=True)
class ConfirmationRecord:
    """A finalist's plan carried out once more: `repeat` counts from 1, `score` is on validation."""

    number: int
    repeat: int
    seed: int
    score: float | None
    loss: float | None
    seconds: float
    error: str | None


@dataclass(frozen=True)
class FoldRecord:
    """A finalist's plan carried out on all labelled texts but a fold.

    Attributes:
        repeat: which division into folds, counted from 1.
        fold: which of them was left out, counted from 1; 0 for none.
        left_out: places of the texts that it did not learn, train texts first, as safetensors.
        score, loss: on these; None where it failed, or learnt all.
        digest, text, content: of the prompt; None where it failed.
        log_probs: [B, L] of the texts left out, as safetensors; None likewise.
    """

    number: int
    kind: str
    plan: dict[str, Any]
    repeat: int
    fold: int
    left_out: bytes
    score: float | None
    loss: float | None
    digest: str | None
    text: str | None
    content: bytes | None
    log_probs: bytes | None
    seconds: float
    error: str | None

    def as_prompt(self, score: float, loss: float) -> "PromptRecord":
        """The prompt, if it did not fail.

        Args:
            score, loss: of its plan, where it has none of its own.
        """
        assert self.content is not None
        return PromptRecord(
            number=self.number,
            kind=self.kind,
            score=score if self.score is None else self.score,
            loss=loss if self.loss is None else self.loss,
            digest=self.digest or "",
            text=self.text or "",
            content=self.content,
            log_probs=self.log_probs or b"",
            plan=self.plan,
            fold=f"{self.repeat}.{self.fold}" if self.fold else "all",
        )


@dataclass(frozen=True)
class BaselineRecord:
    """Something simpler than a prompt, or larger, that learnt the same texts.

    Attributes:
        settings: what was chosen for it.
        score, loss: on validation; None where it failed.
        shipped_bytes: beside the frozen model, or in its place.
        content: what it has learnt, as safetensors, where that is kept.
        log_probs: [B, L] of the validation texts, as safetensors; where it was fitted once a fold,
            of all labelled texts, these last.
    """

    name: str
    settings: dict[str, Any]
    score: float | None
    loss: float | None
    seconds: float
    shipped_bytes: int | None
    content: bytes | None
    log_probs: bytes | None
    error: str | None


@dataclass(frozen=True)
class EvaluationRecord:
    """One opening of labelled texts that no trial saw.

    Attributes:
        search: the name of the search it was for.
        source: test, the search's own held-out split; or a file or Hub id, as it was given.
        result: scores with their intervals; None until they are known.
    """

    id: int
    search: str
    source: str
    fingerprint: str | None
    purpose: str | None
    opened_by: str | None
    opened_at: datetime
    result: dict[str, Any] | None
