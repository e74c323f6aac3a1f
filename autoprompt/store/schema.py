"""Which version of the tables a database has, and how it gets to this one's.

An empty database is given its tables by the first search. One with an older schema is left alone
until `autoprompt db upgrade` is asked for: somebody's older autoprompt may be at work in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from autoprompt.search_spaces.errors import SearchNotFoundError, StoreError
from autoprompt.store.database import Database, check_folder
from autoprompt.store.tables import Base

#: Any number will do that no one else locks: PostgreSQL lets one process at a time migrate.
_LOCK = 0x6175746F


@dataclass(frozen=True)
class Schema:
    """A database's version of the tables.

    Attributes:
        current: its version; None where it has no tables yet.
        newest: the newest version that this autoprompt knows.
    """

    database: str
    current: str | None
    newest: str
    state: Literal["empty", "older", "current", "newer"]

    def demand_current(self) -> None:
        """Refuse to work with any other version.

        Raises:
            SearchNotFoundError: it is empty.
            StoreError: it is older or newer.
        """
        if self.state == "empty":
            raise SearchNotFoundError(
                f"database {self.database}: holds no searches yet; `autoprompt search` makes its "
                "tables"
            )
        if self.state == "older":
            raise StoreError(
                f"database {self.database}: made by an older autoprompt (schema {self.current}, "
                f"this is {self.newest}); `autoprompt db upgrade` brings it up to date"
            )
        if self.state == "newer":
            raise StoreError(
                f"database {self.database}: made by a newer version of autoprompt (schema "
                f"{self.current}, this one knows {self.newest}); update autoprompt, or name "
                "another database with --db"
            )


def check_store(url: str) -> None:
    """See that a search could be stored there; nothing is changed.

    Raises:
        StoreError: it cannot be opened, is another program's, or of another version.
    """
    database = Database.at(url)
    if database.missing_file:
        check_folder(database, create=True)
        return
    schema = read_schema(database)
    if schema.state != "empty":
        schema.demand_current()


def read_schema(database: Database) -> Schema:
    """A database's version; nothing is changed.

    Raises:
        SearchNotFoundError: it is a file that is not there.
        StoreError: it cannot be opened, or is another program's.
    """
    check_folder(database, create=False)
    try:
        with database.engine.connect() as connection:
            return _schema(connection, database.shown)
    except sa.exc.SQLAlchemyError as error:
        raise database.unusable(error) from None


def upgrade(database: Database, to: str | None = None) -> Schema:
    """Bring a database to the newest version, or another one, whole or not at all; an empty one
    gets its tables.

    Returns:
        What it was before.

    Raises:
        StoreError: it cannot be opened, is newer, or is another program's.
    """
    check_folder(database, create=True)
    try:
        with _migrating(database) as connection:
            before = _schema(connection, database.shown)
            if before.state == "newer":
                before.demand_current()
            if before.current != (to or before.newest):
                config = _alembic()
                config.attributes["connection"] = connection
                command.upgrade(config, to or "head")
    except sa.exc.SQLAlchemyError as error:
        raise database.unusable(error) from None
    return before


@contextmanager
def _migrating(database: Database) -> Iterator[sa.Connection]:
    """A transaction that no other process migrates beside."""
    with database.engine.connect().execution_options(writes=True) as connection:
        driver: Any = connection.connection.driver_connection
        if database.is_sqlite:
            # Changing a column means a new table in the old one's place; to foreign keys that is
            # the deletion of every row. The setting cannot be changed inside a transaction.
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                yield connection
        finally:
            if database.is_sqlite:
                driver.execute("PRAGMA foreign_keys=ON")


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _schema(connection: sa.Connection, shown: str) -> Schema:
    script = ScriptDirectory.from_config(_alembic())
    newest = str(script.get_current_head())
    # The tables first: another process may be making them all, with their version, right now.
    ours = set(sa.inspect(connection).get_table_names()) & set(Base.metadata.tables)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == newest:
        return Schema(shown, current, newest, "current")
    if current in {migration.revision for migration in script.walk_revisions()}:
        return Schema(shown, current, newest, "older")
    if current is None and not ours:
        return Schema(shown, None, newest, "empty")
    if current is None or "searches" not in ours:
        raise StoreError(
            f"database {shown}: has tables of another program's making "
            f"({min(ours, default=current)}); name another database"
        )
    return Schema(shown, current, newest, "newer")
