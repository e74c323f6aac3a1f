"""A real Ray head that asks for a token, with a database of its own: what jobs are sent to."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import requests

from tests.local_server import free_ports

ROOT = Path(__file__).parent.parent


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {seconds:.0f} s"
        time.sleep(0.1)


class RayHead:
    """One node on free ports of 127.0.0.1, in a folder of its own under /tmp: a socket's path must
    be short.

    Attributes:
        address: of the dashboard; `gcs` is what `ray.init` takes.
        environment: what a client of it needs.
        commands: a folder on the jobs' PATH, with `autoprompt` in it.
        database: the file that the jobs' AUTOPROMPT_DB_FILE names.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rh-"))
        self.commands = self.folder / "bin"
        self.commands.mkdir()
        (self.commands / "autoprompt").symlink_to(Path(sys.executable).with_name("autoprompt"))
        self.database = self.folder / "database"
        self.token = f"token-{secrets.token_hex(16)}"
        token_file = self.folder / "token"
        token_file.write_text(self.token)
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
        gcs, dashboard, client = free_ports(3)
        self.address, self.gcs = f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}"
        mine = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_TMPDIR", "AUTOPROMPT_DB")
        inherited = {name: value for name, value in os.environ.items() if name not in mine}
        options = {
            "port": gcs,
            "dashboard-port": dashboard,
            "dashboard-host": "127.0.0.1",
            "node-ip-address": "127.0.0.1",
            "ray-client-server-port": client,
            "min-worker-port": 0,
            "max-worker-port": 0,
            "dashboard-agent-listen-port": 0,
            "temp-dir": self.folder / "ray",
            "num-cpus": 2,
            "num-gpus": 0,
        }
        with (self.folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=inherited
                | self.environment
                | {
                    "PATH": f"{self.commands}:/usr/local/bin:/usr/bin:/bin",
                    "PYTHONPATH": str(ROOT),
                    "AUTOPROMPT_DB_FILE": str(self.database),
                    "RAY_USAGE_STATS_ENABLED": "0",
                },
            )
        wait_for(self._is_ready, 120, "Ray's head")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            # Jobs need the node's agent, which is up last.
            answer = requests.get(f"{self.address}/api/jobs/", headers=headers, timeout=5)
        except requests.RequestException:
            return False
        return answer.ok and "Ray runtime started" in (self.folder / "log").read_text()

    def processes(self) -> list[psutil.Process]:
        mine = psutil.Process(self._process.pid)
        return [mine, *mine.children(recursive=True)]

    def remove(self) -> None:
        """Stop all of it, and nothing else."""
        mine = self.processes()
        self._process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(mine, timeout=20)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=20)
        shutil.rmtree(self.folder, ignore_errors=True)
