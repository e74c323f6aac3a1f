"""Opening a database: what cannot be opened is refused in one line that never holds a password."""

from pathlib import Path

import pytest

from autoprompt.search_spaces.errors import SearchNotFoundError, StoreError
from autoprompt.store import Store, read_schema
from tests.postgresql import PASSWORD, PostgreSql


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a database URL"),
        ("", "not a database URL"),
        (f"postgresql//me:{PASSWORD}@host/db", "'host/db': not a database URL"),
        (f"postgresql://me:{PASSWORD}@host:port/db", "not a database URL"),
        (f"postgresql://me:x@{PASSWORD}@host/db", "as %40"),
        (f"sqlite://me:{PASSWORD}@host/a.db", "not a database URL"),
        ("oracle2://host/db", "unknown kind; use sqlite or postgresql"),
        (f"mysql://me:{PASSWORD}@host/db", "unknown kind; use sqlite or postgresql"),
        (f"postgresql+asyncpg://me:{PASSWORD}@host/db", "will not do; write postgresql://"),
        ("sqlite+nonesuch:///a.db", "will not do; write sqlite://"),
        (f"postgresql+psycopg2://me:{PASSWORD}@host/db", "driver is not installed"),
        (f"postgresql://me:{PASSWORD}@127.0.0.1:1/db", "refused"),
        (f"postgresql://localhost:1/db?user=me&password={PASSWORD}", "refused"),
        (f"postgresql://me:{PASSWORD}@nowhere.invalid/db", "cannot be opened: .*nowhere.invalid"),
        (f"postgresql://me:{PASSWORD}@127.0.0.1/db?nonsense=1", "nonsense"),
    ],
)
def test_a_database_that_cannot_be_opened(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        Store.open(url)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be read as one" * 20)
    for path, words in (
        (tmp_path / "text.db", "not a database"),
        (tmp_path / "none" / "a.db", "no folder"),
        (tmp_path, "unable to open"),
    ):
        with pytest.raises(StoreError, match=words):
            Store.open(f"sqlite:///{path}")


def test_postgresql_that_does_not_let_us_in(postgresql: PostgreSql) -> None:
    for url, words in (
        (postgresql.url("postgres", password="wrong"), "password authentication failed"),
        (postgresql.url("nosuch"), 'database "nosuch" does not exist'),
    ):
        with pytest.raises(StoreError, match=words) as caught:
            Store.open(url)
        assert "wrong" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_reading_makes_no_tables(db: str, tmp_path: Path) -> None:
    with pytest.raises(SearchNotFoundError, match=r"no such file|holds no searches yet"):
        Store.open(db, create=False)
    assert not list(tmp_path.iterdir())
    store = Store.open(db)
    assert read_schema(store.database).state == "current"
    Store.open(db, create=False).close()
    store.close()


def test_sqlite_is_set_to_wal_with_foreign_keys(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    with store.database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    store.close()
