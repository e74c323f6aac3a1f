"""The store: the one way to the database. Nothing else in the project writes SQL."""

from collections.abc import Callable

from autoprompt.store.baselines import Baselines
from autoprompt.store.database import Database
from autoprompt.store.evaluations import Evaluations
from autoprompt.store.folds import Folds
from autoprompt.store.schema import read_schema, upgrade
from autoprompt.store.searches import Searches
from autoprompt.store.trials import Trials


class Store(Searches, Trials, Folds, Baselines, Evaluations):
    """Every search, in one database. The controller is its only writer.

    Each method is one transaction: it is stored whole or not at all. What was stored and is stored
    again, because the answer was lost, is there once. Safe to use from several threads and
    processes; readers never wait for a writer on SQLite (WAL) or PostgreSQL.

    Every method may raise DatabaseLostError: the database went away and did not come back.
    """

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        patience: float = 0.0,
        say: Callable[[str], None] | None = None,
    ) -> "Store":
        """Connect; make the tables where there are none.

        Args:
            url: SQLAlchemy's form, `sqlite:///file.db` or `postgresql://user:password@host/name`.
            create: whether an absent SQLite file, or tables, may be made.
            patience: seconds for which a database that goes away later is waited for.
            say: told, in a line, when that begins and ends.

        Raises:
            StoreError: it cannot be opened, is no database, or is of another version. The
                message never holds the password.
        """
        database = Database.at(url, patience=patience, say=say)
        if create and database.missing_file:
            upgrade(database)
        schema = read_schema(database)
        if create and schema.state == "empty":
            upgrade(database)
        else:
            schema.demand_current()
        return cls(database)

    def close(self) -> None:
        """Let go of every connection."""
        self.database.close()
