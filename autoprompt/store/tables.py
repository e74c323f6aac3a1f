"""The tables, as SQLAlchemy maps them. `migrations/` makes them; nothing else does."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from autoprompt.store.states import State


class Text(TypeDecorator[str]):
    """Any text. PostgreSQL takes no NUL, and no database takes half a surrogate pair; both come
    out of models and of tracebacks, and become a replacement character."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the time zone, PostgreSQL gives the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class StateText(TypeDecorator[State]):
    """The state of a trial or a search."""

    impl = String(16)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else State(value).value

    def process_result_value(self, value: str | None, dialect: Any) -> State | None:
        return None if value is None else State(value)


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {
        str: Text(),
        dict[str, Any]: JSON,
        list[Any]: JSON,
        datetime: UtcDateTime(),
    }
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Search(Base):
    """One AutoML run."""

    __tablename__ = "searches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text(200), unique=True)
    state: Mapped[State] = mapped_column(StateText())
    model: Mapped[str] = mapped_column(Text(500))
    metric: Mapped[str] = mapped_column(Text(200))
    #: Else less is, and scores are stored with their sign turned: more is better in every table.
    greater_is_better: Mapped[bool] = mapped_column(default=True, server_default=true())
    seed: Mapped[int] = mapped_column(BigInteger)
    #: The whole configuration, the space included, as validated.
    config: Mapped[dict[str, Any]]
    #: Versions of model, data, code and libraries: what a number came from.
    versions: Mapped[dict[str, Any]]
    #: Texts in each split, how many were cut to fit the model, how many were equal.
    data: Mapped[dict[str, Any]]
    #: The right labels of the validation texts, [B]: what stored predictions are judged by.
    validation_labels: Mapped[list[Any]] = mapped_column(deferred=True)
    #: And of the train texts, where prompts learn from folds of both; they stand before these.
    train_labels: Mapped[list[Any] | None] = mapped_column(deferred=True)
    error: Mapped[str | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    #: Who votes, trials by number and baselines by name, how, and their score on validation; None
    #: before there is one.
    ensemble: Mapped[dict[str, Any] | None]
    #: The process that runs it, as host:pid:token, and when that process last said so.
    controller: Mapped[str | None] = mapped_column(Text(200))
    heartbeat_at: Mapped[datetime | None]
    #: Number of the trial that was chosen as the best; None before one was.
    best: Mapped[int | None]
    #: The best prompt's temperature and one bias a label; None before there are such.
    calibration: Mapped[dict[str, Any] | None]
    #: What a reader of the scores should be warned of, a line each; None before they are known.
    warnings: Mapped[list[Any] | None]
    #: What is kept of the texts to hold later searches against, as safetensors.
    footprint: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    #: The earlier search it started from, how near its task was, and what was taken over.
    warm_start: Mapped[dict[str, Any] | None]
    #: Who began it; None in stores of older versions, whose searches are everybody's.
    owner: Mapped[str | None] = mapped_column(Text(200))
    tags: Mapped[list[Any] | None]

    trials: Mapped[list["Trial"]] = relationship(back_populates="search")


class Trial(Base):
    """One plan, carried out by one worker."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("search_id", "number"),
        # How many are in each state, and the best of each.
        Index(None, "search_id", "state", "score"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(Text(16))
    state: Mapped[State] = mapped_column(StateText())
    #: What the worker was told, and what Optuna drew it from.
    plan: Mapped[dict[str, Any]]
    params: Mapped[dict[str, Any]]
    distributions: Mapped[dict[str, Any]]
    #: Of the best rung that all validation texts judged; None where fewer judged every rung.
    score: Mapped[float | None]
    loss: Mapped[float | None]
    #: Seconds of work on the worker, loading and encoding included.
    seconds: Mapped[float] = mapped_column(default=0.0)
    models_loaded: Mapped[int] = mapped_column(default=0)
    texts_encoded: Mapped[int] = mapped_column(default=0)
    #: host:pid of the process that ran it.
    worker: Mapped[str | None] = mapped_column(Text(200))
    #: How often a worker has begun it, and why it had to begin again.
    attempts: Mapped[int] = mapped_column(default=1, server_default="1")
    note: Mapped[str | None]
    error: Mapped[str | None]
    traceback: Mapped[str | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    search: Mapped[Search] = relationship(back_populates="trials")
    rungs: Mapped[list["Rung"]] = relationship(back_populates="trial", order_by="Rung.rung")
    prompt: Mapped["Prompt | None"] = relationship(back_populates="trial")


Index("ix_trials_leaderboard", Trial.search_id, Trial.score.desc(), Trial.loss, Trial.number)


class Rung(Base):
    """What a trial reported at one rung."""

    __tablename__ = "rungs"

    trial_id: Mapped[int] = mapped_column(
        ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True
    )
    rung: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int]
    score: Mapped[float]
    loss: Mapped[float]
    train_loss: Mapped[float]
    #: Of the last step's gradient by the prompt's embeddings; None where there was no step.
    gradient_norm: Mapped[float | None]
    #: Validation texts that judged it; None for all of them.
    judged: Mapped[int | None]
    #: Their log-probabilities of the labels, [B, L], as safetensors; None where all judged.
    log_probs: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    seconds: Mapped[float]
    reported_at: Mapped[datetime]

    trial: Mapped[Trial] = relationship(back_populates="rungs")


class Prompt(Base):
    """The prompt of a trial's best rung that all validation texts judged, before there is one that
    of its last rung, and what it says of the texts that judged it."""

    __tablename__ = "prompts"

    trial_id: Mapped[int] = mapped_column(
        ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True
    )
    rung: Mapped[int]
    #: Equal for prompts that do the same.
    digest: Mapped[str] = mapped_column(Text(16))
    text: Mapped[str]
    #: The whole prompt as safetensors.
    content: Mapped[bytes] = mapped_column(LargeBinary)
    #: Log-probabilities of the labels for the validation texts that judged it, [B, L], as
    #: safetensors: for all of them, where the trial has a score.
    log_probs: Mapped[bytes] = mapped_column(LargeBinary)
    #: That the model reads of each text's input beside the text's own; None where it is not known.
    tokens: Mapped[int | None]

    trial: Mapped[Trial] = relationship(back_populates="prompt")


class Confirmation(Base):
    """A finalist's plan carried out once more, with another seed. Not one of the search's trials:
    it spends none of their number, and Optuna learns nothing from it."""

    __tablename__ = "confirmations"

    trial_id: Mapped[int] = mapped_column(
        ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True
    )
    #: Counted from 1.
    repeat: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(BigInteger)
    #: On validation, of the best rung; None where it failed.
    score: Mapped[float | None]
    loss: Mapped[float | None]
    seconds: Mapped[float]
    worker: Mapped[str | None] = mapped_column(Text(200))
    error: Mapped[str | None]
    finished_at: Mapped[datetime]

    trial: Mapped[Trial] = relationship()


class FoldPrompt(Base):
    """A finalist's plan carried out on all labelled texts, train and validation, but one fold; what
    it says of that fold is what it may be judged by."""

    __tablename__ = "fold_prompts"

    trial_id: Mapped[int] = mapped_column(
        ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True
    )
    #: Counted from 1: which division into folds, and which of them was left out; 0 for none.
    repeat: Mapped[int] = mapped_column(primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    #: Places of the texts that it did not learn, train texts first, as safetensors.
    left_out: Mapped[bytes] = mapped_column(LargeBinary)
    #: On the texts that were left out; None where it failed, or none were.
    score: Mapped[float | None]
    loss: Mapped[float | None]
    #: As in `prompts`; None where it failed. The log-probabilities are of the texts left out.
    digest: Mapped[str | None] = mapped_column(Text(16))
    text: Mapped[str | None]
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    log_probs: Mapped[bytes | None] = mapped_column(LargeBinary)
    seconds: Mapped[float]
    worker: Mapped[str | None] = mapped_column(Text(200))
    error: Mapped[str | None]
    finished_at: Mapped[datetime]

    trial: Mapped[Trial] = relationship()


class Baseline(Base):
    """What stands beside the prompts: something simpler, or larger, that learnt the same texts."""

    __tablename__ = "baselines"

    search_id: Mapped[int] = mapped_column(
        ForeignKey("searches.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(Text(64), primary_key=True)
    #: What was chosen for it, such as a layer or a rate.
    settings: Mapped[dict[str, Any]]
    #: On validation; None where it failed.
    score: Mapped[float | None]
    loss: Mapped[float | None]
    seconds: Mapped[float]
    #: What must be shipped beside the frozen model, or in its place.
    shipped_bytes: Mapped[int | None] = mapped_column(BigInteger)
    #: What it has learnt, as safetensors, where that is kept.
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    #: Log-probabilities of the labels for the validation texts, [B, L], as safetensors; where it
    #: was fitted once a fold, for all labelled texts, by those that did not learn them; these last.
    log_probs: Mapped[bytes | None] = mapped_column(LargeBinary)
    error: Mapped[str | None]
    finished_at: Mapped[datetime]


class Evaluation(Base):
    """Labelled texts that no trial saw, opened: the row is there before the first text is scored,
    and each further opening of the same texts is a row of its own."""

    __tablename__ = "evaluations"
    __table_args__ = (Index(None, "search_id"), Index(None, "fingerprint"))

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey("searches.id", ondelete="CASCADE"))
    #: test, the search's own held-out split; or a file or Hub id, as it was given.
    source: Mapped[str] = mapped_column(Text(500))
    #: Equal for equal texts and labels in the same order, whatever they are called.
    fingerprint: Mapped[str | None] = mapped_column(Text(16))
    #: The command, and user@host.
    purpose: Mapped[str | None] = mapped_column(Text(200))
    opened_by: Mapped[str | None] = mapped_column(Text(200))
    opened_at: Mapped[datetime]
    #: Scores with their intervals; None until they are known.
    result: Mapped[dict[str, Any] | None]
    #: What was answered and what is right, as safetensors; None in stores of older versions.
    predictions: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
