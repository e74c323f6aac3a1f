"""The store: one repository class over SQLAlchemy. Nothing else in the project writes SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session, joinedload, selectinload, sessionmaker

from autoprompt.store.records import (
    ConfirmationRecord,
    EvaluationRecord,
    PromptRecord,
    RungRecord,
    SearchRecord,
    TrialRecord,
)
from autoprompt.store.tables import Confirmation, Evaluation, Prompt, Rung, Search, Trial
from search_spaces.errors import BadInputError, SearchNotFoundError, SearchTakenError, StoreError

DEFAULT_URL = "sqlite:///autoprompt.db"

#: How long a writer waits for another one to finish, in seconds.
_BUSY_SECONDS = 30


class Store:
    """Every search, in one database. The controller is its only writer.

    Each method is one transaction: it is stored whole or not at all. Safe to use from several
    threads and processes; readers never wait for a writer on SQLite (WAL) or PostgreSQL.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        #: Search id -> the controller that this store claimed it for.
        self._claims: dict[int, str] = {}

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Store":
        """Connect, and make the tables where there are none.

        Args:
            url: SQLAlchemy's form, `sqlite:///file.db` or `postgresql+psycopg://...`.
            create: whether an absent SQLite file may be made.

        Raises:
            StoreError: it cannot be opened, is no database, or is of another version. The
                message never holds the password.
        """
        shown = url
        try:
            parsed = sa.make_url(url)
            shown = parsed.render_as_string(hide_password=True)
            if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, ":memory:"):
                _check_sqlite_file(Path(str(parsed.database)), shown, create)
            engine = _engine(parsed)
            with engine.begin() as connection:
                _upgrade(connection, shown)
        except sa.exc.NoSuchModuleError:
            raise StoreError(f"database {shown}: unknown kind; use sqlite or postgresql") from None
        except sa.exc.ArgumentError:
            raise StoreError(
                f"database {shown.split('@')[-1]!r}: not a database URL; "
                f"write one like {DEFAULT_URL}"
            ) from None
        except ImportError as error:
            raise StoreError(f"database {shown}: its driver is not installed ({error})") from None
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise StoreError(f"database {shown}: cannot be opened: {reason}") from None
        return cls(engine)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with self._sessions.begin() as session:
            yield session

    @contextmanager
    def _writing(self, search_id: int) -> Iterator[Session]:
        """A transaction that changes a search; one claimed here must still be ours.

        Raises:
            SearchTakenError: another controller has claimed it since.
        """
        with self._sessions.begin() as session:
            controller = self._claims.get(search_id)
            if controller is not None and not _beat(session, search_id, controller):
                raise SearchTakenError(
                    f"search {search_id} was taken over by another controller; this one stops"
                )
            yield session

    # Searches

    def name_is_taken(self, name: str) -> bool:
        """Whether a search of that name is here."""
        with self._transaction() as session:
            return session.scalar(sa.select(Search.id).where(Search.name == name)) is not None

    def free_name(self, wanted: str) -> str:
        """`wanted`, or the first of wanted-2, wanted-3, ... that no search has."""
        with self._transaction() as session:
            taken = set(session.scalars(sa.select(Search.name)))
        number = 1
        name = wanted
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def create_search(self, **fields: Any) -> SearchRecord:
        """A new search, running.

        Raises:
            BadInputError: another one has its name.
        """
        search = Search(state="running", started_at=_now(), **fields)
        try:
            with self._transaction() as session:
                session.add(search)
        except sa.exc.IntegrityError:
            raise BadInputError(
                f"a search named {fields['name']!r} exists; choose another --name"
            ) from None
        return _search_record(search)

    def claim_search(self, search_id: int, controller: str, seen: datetime | None) -> bool:
        """Make a search ours: whether nobody else gave a sign of life after `seen`.

        From then on this store writes to it only while no other controller has claimed it.

        Args:
            controller: host:pid:token of this process.
            seen: its `heartbeat_at` when it was last looked at.
        """
        same = Search.heartbeat_at == seen if seen else Search.heartbeat_at.is_(None)
        claim = (
            sa.update(Search)
            .where(Search.id == search_id, same)
            .values(controller=controller, heartbeat_at=_now())
            .values(state="running", error=None, finished_at=None)
            .returning(Search.id)
        )
        with self._transaction() as session:
            ours = session.scalar(claim) is not None
        if ours:
            self._claims[search_id] = controller
        return ours

    def beat(self, search_id: int) -> bool:
        """Say that our controller is alive; whether the search is still ours."""
        with self._transaction() as session:
            return _beat(session, search_id, self._claims[search_id])

    def update_search(self, search_id: int, **fields: Any) -> None:
        """Change some columns of a search."""
        with self._writing(search_id) as session:
            session.execute(sa.update(Search).where(Search.id == search_id).values(**fields))

    def finish_search(self, search_id: int, state: str, error: str | None = None) -> None:
        """Close a search; trials still running are stopped, and keep their best rung."""
        with self._writing(search_id) as session:
            session.execute(
                sa.update(Trial)
                .where(Trial.search_id == search_id, Trial.state == "running")
                .values(state="stopped", note=f"the search {state} first", finished_at=_now())
            )
            session.execute(
                sa.update(Search)
                .where(Search.id == search_id)
                .values(state=state, error=error, finished_at=_now())
            )

    def find(self, reference: str) -> SearchRecord:
        """A search by id, name, or `latest`.

        Raises:
            SearchNotFoundError: there is none.
        """
        query = sa.select(Search).order_by(Search.id.desc()).limit(1)
        if reference.isdigit():
            query = query.where(Search.id == int(reference))
        elif reference != "latest":
            query = query.where(Search.name == reference)
        with self._transaction() as session:
            search = session.scalar(query)
        if search is None:
            what = "no searches yet" if reference == "latest" else f"no search {reference!r}"
            raise SearchNotFoundError(
                f"{what} in {self._engine.url.render_as_string(hide_password=True)}; "
                "`autoprompt list` shows what there is"
            )
        return _search_record(search)

    def searches(self) -> list[SearchRecord]:
        """Every search, newest first."""
        with self._transaction() as session:
            found = session.scalars(sa.select(Search).order_by(Search.id.desc()))
            return [_search_record(search) for search in found]

    def validation_labels(self, search_id: int) -> list[int]:
        """The right labels of the validation texts, [B]."""
        query = sa.select(Search.validation_labels).where(Search.id == search_id)
        with self._transaction() as session:
            return list(session.scalars(query).one())

    def footprint(self, search_id: int) -> bytes | None:
        """What is kept of a search's texts, or None of a search of an older version."""
        query = sa.select(Search.footprint).where(Search.id == search_id)
        with self._transaction() as session:
            return session.scalars(query).one()

    # Trials

    def start_trial(self, search_id: int, number: int, **fields: Any) -> None:
        """A trial was dispatched."""
        with self._writing(search_id) as session:
            session.add(
                Trial(
                    search_id=search_id,
                    number=number,
                    state="running",
                    started_at=_now(),
                    **fields,
                )
            )

    def restart_trial(self, search_id: int, number: int, note: str) -> None:
        """A trial was dispatched again; its rungs so far are kept."""
        with self._writing(search_id) as session:
            trial = self._trial(session, search_id, number)
            trial.state, trial.finished_at, trial.note = "running", None, note
            trial.attempts += 1

    def record_rung(
        self,
        search_id: int,
        number: int,
        rung: dict[str, Any],
        prompt: dict[str, Any],
        work: dict[str, Any],
    ) -> None:
        """A trial reported. Its prompt is kept where this rung is its best so far.

        Args:
            rung: the columns of `Rung`.
            prompt: digest, text, content and log_probs of `Prompt`.
            work: worker, models_loaded and texts_encoded, for this rung alone.
        """
        with self._writing(search_id) as session:
            trial = self._trial(session, search_id, number)
            session.add(Rung(trial_id=trial.id, reported_at=_now(), **rung))
            _add_work(trial, rung["seconds"], work)
            known = (trial.score or 0.0, -(trial.loss or 0.0))
            if trial.score is None or (rung["score"], -rung["loss"]) > known:
                trial.score, trial.loss = rung["score"], rung["loss"]
                session.merge(Prompt(trial_id=trial.id, rung=rung["rung"], **prompt))

    def finish_trial(self, search_id: int, number: int, state: str) -> None:
        """A trial ran to its end (complete) or was stopped at a rung (pruned)."""
        with self._writing(search_id) as session:
            trial = self._trial(session, search_id, number)
            trial.state, trial.finished_at = state, _now()

    def fail_trial(
        self,
        search_id: int,
        number: int,
        error: str,
        traceback: str | None = None,
        seconds: float = 0.0,
        work: dict[str, Any] | None = None,
    ) -> None:
        """A trial raised, or its worker died."""
        with self._writing(search_id) as session:
            trial = self._trial(session, search_id, number)
            trial.state, trial.finished_at = "failed", _now()
            trial.error, trial.traceback = error, traceback
            _add_work(trial, seconds, work or {})

    def _trial(self, session: Session, search_id: int, number: int) -> Trial:
        query = sa.select(Trial).where(Trial.search_id == search_id, Trial.number == number)
        return session.scalars(query).one()

    def trials(self, search_id: int) -> list[TrialRecord]:
        """Every trial of a search with its rungs, in the order of their numbers."""
        query = (
            sa.select(Trial)
            .where(Trial.search_id == search_id)
            .order_by(Trial.number)
            .options(selectinload(Trial.rungs), joinedload(Trial.prompt).load_only(Prompt.text))
        )
        with self._transaction() as session:
            return [_trial_record(trial) for trial in session.scalars(query)]

    def counts(self, search_id: int) -> dict[str, int]:
        """How many trials are in each state."""
        query = sa.select(Trial.state, sa.func.count()).where(Trial.search_id == search_id)
        with self._transaction() as session:
            rows = session.execute(query.group_by(Trial.state)).all()
        none = dict.fromkeys(("running", "complete", "pruned", "failed", "stopped"), 0)
        return none | {state: count for state, count in rows}  # noqa: C416 - rows are no pairs

    def best_score(self, search_id: int) -> float | None:
        """The best validation score of a search's trials so far."""
        query = sa.select(sa.func.max(Trial.score)).where(
            Trial.search_id == search_id, Trial.state != "failed"
        )
        with self._transaction() as session:
            return session.scalar(query)

    # Prompts

    def prompts(
        self, search_id: int, numbers: list[int] | None = None, limit: int | None = None
    ) -> list[PromptRecord]:
        """The prompts of a search's trials, best first: by score, then loss, then number.

        Args:
            numbers: only these trials.
            limit: at most so many.
        """
        query = (
            sa.select(Trial, Prompt)
            .join(Prompt, Prompt.trial_id == Trial.id)
            .where(Trial.search_id == search_id, Trial.state != "failed")
            .order_by(Trial.score.desc(), Trial.loss, Trial.number)
            .limit(limit)
        )
        if numbers is not None:
            query = query.where(Trial.number.in_(numbers))
        with self._transaction() as session:
            return [
                PromptRecord(
                    number=trial.number,
                    kind=trial.kind,
                    score=trial.score if trial.score is not None else 0.0,
                    loss=trial.loss if trial.loss is not None else 0.0,
                    digest=prompt.digest,
                    text=prompt.text,
                    content=prompt.content,
                    log_probs=prompt.log_probs,
                )
                for trial, prompt in session.execute(query)
            ]

    # Finalists, once more

    def record_confirmation(self, search_id: int, number: int, **fields: Any) -> None:
        """A finalist's plan was carried out once more, to its end or to an error.

        Args:
            fields: the columns of `Confirmation`.
        """
        with self._writing(search_id) as session:
            trial = self._trial(session, search_id, number)
            session.add(Confirmation(trial_id=trial.id, finished_at=_now(), **fields))

    def confirmations(self, search_id: int) -> list[ConfirmationRecord]:
        """Every repeat of a search's finalists, by trial and repeat."""
        query = (
            sa.select(Trial.number, Confirmation)
            .join(Trial, Confirmation.trial_id == Trial.id)
            .where(Trial.search_id == search_id)
            .order_by(Trial.number, Confirmation.repeat)
        )
        plain = set(ConfirmationRecord.__annotations__) - {"number"}
        with self._transaction() as session:
            return [
                ConfirmationRecord(number, **{name: getattr(row, name) for name in plain})
                for number, row in session.execute(query)
            ]

    # Texts that no trial saw

    def open_evaluation(self, search_id: int, **fields: Any) -> int:
        """Record that held-out texts are about to be scored; the opening's id.

        Args:
            fields: source, fingerprint, purpose and opened_by of `Evaluation`.
        """
        opening = Evaluation(search_id=search_id, opened_at=_now(), **fields)
        with self._writing(search_id) as session:
            session.add(opening)
        return opening.id

    def record_evaluation(self, search_id: int, evaluation_id: int, result: dict[str, Any]) -> None:
        """The scores of an opening."""
        with self._writing(search_id) as session:
            session.execute(
                sa.update(Evaluation).where(Evaluation.id == evaluation_id).values(result=result)
            )

    def evaluations(
        self, search_id: int | None = None, *, fingerprint: str | None = None
    ) -> list[EvaluationRecord]:
        """Openings in the order they happened: of one search, of the same texts, or both."""
        query = (
            sa.select(Search.name, Evaluation)
            .join(Search, Evaluation.search_id == Search.id)
            .order_by(Evaluation.id)
        )
        if search_id is not None:
            query = query.where(Evaluation.search_id == search_id)
        if fingerprint is not None:
            query = query.where(Evaluation.fingerprint == fingerprint)
        plain = set(EvaluationRecord.__annotations__) - {"search"}
        with self._transaction() as session:
            return [
                EvaluationRecord(search=name, **{each: getattr(row, each) for each in plain})
                for name, row in session.execute(query)
            ]


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


def _check_sqlite_file(path: Path, shown: str, create: bool) -> None:
    if path.exists():
        return
    if not create:
        raise SearchNotFoundError(
            f"database {shown}: no such file; `autoprompt search` makes it, --db names another"
        )
    if not path.absolute().parent.is_dir():
        raise StoreError(f"database {shown}: cannot be opened: no folder {path.parent}")


def _upgrade(connection: sa.Connection, shown: str) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {each.revision for each in script.walk_revisions()}:
        raise StoreError(f"database {shown}: made by a newer version of autoprompt ({current})")
    command.upgrade(config, "head")


def _beat(session: Session, search_id: int, controller: str) -> bool:
    mine = sa.update(Search).where(Search.id == search_id, Search.controller == controller)
    return session.scalar(mine.values(heartbeat_at=_now()).returning(Search.id)) is not None


def _add_work(trial: Trial, seconds: float, work: dict[str, Any]) -> None:
    trial.seconds += seconds
    trial.worker = work.get("worker", trial.worker)
    trial.models_loaded += work.get("models_loaded", 0)
    trial.texts_encoded += work.get("texts_encoded", 0)


def _search_record(search: Search) -> SearchRecord:
    return SearchRecord(**{name: getattr(search, name) for name in SearchRecord.__annotations__})


def _trial_record(trial: Trial) -> TrialRecord:
    plain = set(TrialRecord.__annotations__) - {"prompt", "rungs"}
    rungs = [
        RungRecord(**{name: getattr(rung, name) for name in RungRecord.__annotations__})
        for rung in trial.rungs
    ]
    return TrialRecord(
        **{name: getattr(trial, name) for name in plain},
        prompt=trial.prompt.text if trial.prompt else None,
        rungs=rungs,
    )


def _now() -> datetime:
    return datetime.now(UTC)
