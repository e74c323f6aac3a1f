"""A real MLflow server, and a door before it that a test opens and closes."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

from tests.local_server import free_port
from tests.ray_head import wait_for

#: Under load it takes its time to import all of MLflow.
_STARTS_WITHIN = 180


class Tracker:
    """`mlflow server` on 127.0.0.1, its database and files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.database = folder / "mlflow.db"
        self._log = (folder / "log").open("w")
        options = ["--backend-store-uri", f"sqlite:///{self.database}", "--workers", "1"]
        options += ["--artifacts-destination", str(folder / "artifacts")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), *options],
            env=os.environ
            | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        wait_for(self._answers, _STARTS_WITHIN, "MLflow")

    def _answers(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):  # noqa: S310
            return True
        return False

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()


class Door:
    """A port that leads to another one from when it is opened on."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._let_in, args=(listener,), daemon=True).start()

    def _let_in(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._behind)) as server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
