"""One database, SQLite or PostgreSQL: how it is reached, what its failures mean, how an outage is
ridden out."""

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from autoprompt.search_spaces.errors import DatabaseLostError, SearchNotFoundError, StoreError

DEFAULT_URL = "sqlite:///autoprompt.db"

#: How long SQLite lets a writer wait for another one, in seconds; `?timeout=` comes before it.
_BUSY_SECONDS = 30

#: So long a search waits for a database that went away, and so long between two tries, in seconds.
PATIENCE_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

#: A server that vanished without a word is noticed after half a minute; what the URL says comes
#: before these.
_POSTGRESQL = {
    "application_name": "autoprompt",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}

#: SQLite's primary codes for what may pass: NOMEM, READONLY, BUSY, LOCKED, IOERR, FULL, CANTOPEN.
_SQLITE_MAY_PASS = {7, 8, 5, 6, 10, 13, 14}

Work = TypeVar("Work")


class Database:
    """A way to one database, and the patience to wait for it.

    Args:
        patience: seconds for which a transaction is tried again when the database does not take
            it: gone, locked, full. With 0 it is tried once.
        say: told, in a line, of an outage and of its end.
    """

    def __init__(
        self,
        url: sa.URL,
        patience: float = 0.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.shown = _shown(url)
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._patience = patience
        self._say = say or (lambda line: None)
        self._down_since: float | None = None

    @classmethod
    def at(cls, url: str, **options: Any) -> "Database":
        """The database a URL names, not connected yet.

        Raises:
            StoreError: it is no URL, or of a database or driver that is not there. The message
                never holds the password.
        """
        parsed = parse_url(url)
        try:
            return cls(parsed, **options)
        except ImportError as error:
            raise StoreError(
                f"database {_shown(parsed)}: its driver is not installed ({error})"
            ) from None
        except sa.exc.ArgumentError:
            raise _no_url(_shown(parsed)) from None

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def missing_file(self) -> Path | None:
        """SQLite's file, where it is not there yet."""
        name = self.engine.url.database if self.is_sqlite else None
        if name in (None, "", ":memory:") or Path(str(name)).exists():
            return None
        return Path(str(name))

    def unusable(self, error: sa.exc.SQLAlchemyError) -> StoreError:
        """What to say of a database that cannot be opened at all."""
        return StoreError(f"database {self.shown}: cannot be opened: {_reason(error)}")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    def run(self, work: Callable[[Session], Work], *, writes: bool) -> Work:
        """One transaction, again and again while the database does not take it.

        An answer can be lost after the work was stored, so `work` finds what it wrote before.

        Raises:
            DatabaseLostError: there is no patience left. Later transactions are tried once each,
                until one succeeds.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                with self._sessions.begin() as session:
                    session.connection(execution_options=self._options(writes))
                    result = work(session)
                break
            except sa.exc.DBAPIError as error:
                # A commit whose answer was lost may be under way still: its rows are met again.
                met_itself = pause > _FIRST_PAUSE and isinstance(error, sa.exc.IntegrityError)
                if not (met_itself or _may_pass(error)):
                    raise
                self._wait(_reason(error), pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        if self._down_since is not None:
            self._say(
                f"the database answers again, after {time.monotonic() - self._down_since:.0f} s"
            )
            self._down_since = None
        return result

    def _options(self, writes: bool) -> dict[str, Any]:
        if writes or self.is_sqlite:
            return {"writes": writes}
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _wait(self, reason: str, pause: float) -> None:
        now = time.monotonic()
        if self._down_since is None:
            self._down_since = now
            if self._patience:
                self._say(
                    f"database {self.shown}: {reason}; trying again for {self._patience:.0f} s, "
                    "nothing is lost meanwhile"
                )
        left = self._down_since + self._patience - now
        if left <= 0:
            tried = f" for {now - self._down_since:.0f} s" if self._patience else ""
            raise DatabaseLostError(f"database {self.shown}: does not answer{tried}: {reason}")
        time.sleep(min(pause, left))


class _HasDatabase(Protocol):
    database: Database


P = ParamSpec("P")
Owner = TypeVar("Owner", bound=_HasDatabase)
Method = Callable[Concatenate[Owner, Session, P], Work]
Bound = Callable[Concatenate[Owner, P], Work]


def reads(method: Method[Owner, P, Work]) -> Bound[Owner, P, Work]:
    """Make a method one reading transaction; it is handed the session and called without it."""
    return _transaction(method, writes=False)


def writes(method: Method[Owner, P, Work]) -> Bound[Owner, P, Work]:
    """Make a method one writing transaction, stored whole or not at all. It may run again after it
    was stored (see `Database.run`), and must then change nothing."""
    return _transaction(method, writes=True)


def _transaction(method: Method[Owner, P, Work], *, writes: bool) -> Bound[Owner, P, Work]:
    @wraps(method)
    def bound(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Work:
        return self.database.run(
            lambda session: method(self, session, *args, **kwargs), writes=writes
        )

    return bound


def parse_url(url: str) -> sa.URL:
    """A URL's parts.

    Raises:
        StoreError: it is no URL, or of a database that will not do. The message never holds the
            password.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise _no_url(url.split("@")[-1]) from None
    if "@" in (parsed.host or ""):
        raise StoreError("database: write an @ in the URL's user or password as %40")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"database {_shown(parsed)}: unknown kind; use sqlite or postgresql")
    try:
        asynchronous = parsed.get_dialect().is_async
    except sa.exc.NoSuchModuleError:
        asynchronous = True
    except ImportError:
        asynchronous = False
    if asynchronous:
        kind = parsed.get_backend_name()
        raise StoreError(
            f"database {_shown(parsed)}: {parsed.drivername} will not do; write {kind}://"
        )
    return parsed


def _no_url(shown: str) -> StoreError:
    return StoreError(f"database {shown!r}: not a database URL; write one like {DEFAULT_URL}")


def _shown(url: sa.URL) -> str:
    """The URL without password, and without its query, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        given = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
        return sa.create_engine(url, pool_pre_ping=True, connect_args=given)
    waiting = {} if "timeout" in url.query else {"timeout": _BUSY_SECONDS}
    engine = sa.create_engine(url, connect_args=waiting)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes late and never before DDL; ours is below.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A reader that turns writer fails at once where another one wrote in between, whatever
        # the timeout; so a writer is one from the start.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _may_pass(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction may be taken later: the database is gone, busy or full."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_MAY_PASS
    lost = (sa.exc.OperationalError, sa.exc.InterfaceError)
    return error.connection_invalidated or isinstance(error, lost)


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    """A driver's message in one line, without the statement and its values."""
    message = str(getattr(error, "orig", None) or error).strip()
    return message.splitlines()[0] if message else type(error).__name__


def check_folder(database: Database, create: bool) -> None:
    """Refuse a SQLite file that is not there and must not or cannot be made.

    Raises:
        SearchNotFoundError: it must not.
        StoreError: its folder is not there either.
    """
    path = database.missing_file
    if path is None:
        return
    if not create:
        raise SearchNotFoundError(
            f"database {database.shown}: no such file; `autoprompt search` makes it, --db names "
            "another"
        )
    if not path.absolute().parent.is_dir():
        raise StoreError(f"database {database.shown}: cannot be opened: no folder {path.parent}")
