"""A real server, with searches of every kind of answers on one tiny model."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import requests

import autoprompt
from autoprompt.store import Store
from autoprompt.workers.rows import Text
from tests.conftest import write_yaml
from tests.local_server import free_port
from tests.ray_head import wait_for
from tests.tiny import TEXTS, save_tiny_model

ROOT = Path(__file__).parent.parent

#: Searches by name: their tasks, and the kind of prompt that each tries.
TASKS: dict[str, dict[str, Any]] = {
    "movies": {"label_words": {"negative": "dull", "positive": "a"}},
    "pairs": {
        "template": "{text} and {other}, all in all",
        "label_words": {"no": "flat", "yes": "warm"},
    },
    "stars": {"answers": "scale", "label_words": {1: "dull", 3: "flat", 5: "bright"}},
    "topics": {
        "answers": "several_labels",
        "label_words": {"plot": "plot", "cast": "cast"},
        "yes_no": ["bright", "dull"],
    },
    "quiz": {"answers": "options", "options": "options", "template": "{text}\nAnswer:"},
    "words": {"answers": "text", "longest_answer": 3, "template": "{text}\nIn short:"},
    "parts": {
        "answers": "spans",
        "label_words": {"thing": "film", "word": "dull"},
        "longest_answer": 6,
        "template": "{text}\nParts:",
    },
}

LIMITS = {"max-texts": 40, "max-text-length": 300, "max-body-bytes": 20_000, "max-waiting": 64}


def row_of(name: str, text: str, good: bool) -> dict[str, Any]:
    """A row of a search's data."""
    thing = text.split()[1]
    word = text.split(" is ")[-1]
    row: dict[str, Any] = {"text": text}
    if name == "pairs":
        row["other"] = f"the {thing}"
    if name == "quiz":
        row["options"] = ["a joy", "dull"] if good else ["dull", "a joy", "so so"]
    start = text.index(word)
    row["label"] = {
        "movies": "positive" if good else "negative",
        "pairs": "yes" if good else "no",
        "stars": 5 if good else 1,
        "topics": [own for own in ("plot", "cast") if own == thing],
        "quiz": "a joy" if good else "dull",
        "words": word,
        "parts": [{"start": start, "end": start + len(word), "label": "word"}],
    }[name]
    return row


def asked_of(name: str, count: int = 5) -> list[Text]:
    """Texts as a search reads them, each another."""
    words = ("a joy", "dull", "warm", "flat", "so moving")
    rows = [
        row_of(name, f"the plot is {words[number % 5]} {number}", number % 2 == 0)
        for number in range(count)
    ]
    if name == "pairs":
        return [{"text": row["text"], "other": row["other"]} for row in rows]
    if name == "quiz":
        return [{"text": row["text"], "options": json.dumps(row["options"])} for row in rows]
    return [row["text"] for row in rows]


def body_of(name: str, texts: Sequence[Text]) -> dict[str, Any]:
    """The body of a request."""
    return {"search": name, "texts" if isinstance(texts[0], str) else "rows": list(texts)}


def make_store(folder: Path, names: Sequence[str] = tuple(TASKS)) -> str:
    """The URL of a store with finished searches."""
    model = save_tiny_model(folder / "model")
    url = f"sqlite:///{folder / 'store.db'}"
    for number, name in enumerate(names):
        rows = [row_of(name, row["text"], row["label"] == "positive") for row in TEXTS]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        config = {
            "name": name,
            "model": {"path": str(model), "dtype": "float32"},
            "data": {"path": f"{name}.jsonl", "sizes": {"train": 16, "validation": 12, "test": 4}},
            "task": {"template": "Review: {text}\nSentiment:"} | TASKS[name],
            "space": {
                "soft": {
                    "length": 2, "learning_rate": 0.05, "steps": 1, "batch_size": 4,
                    "position": "suffix" if number % 2 else ["suffix", "end"],
                },
            },
            "search": {"trials": 3, "workers": 0, "rungs": 1, "seed": number,
                       "cache_gib_on_disk": 0},
            "ensemble": {"size": 3},
            "baselines": [],
        }  # fmt: skip
        result = autoprompt.search(write_yaml(folder / "search.yaml", config), db=url, quiet=True)
        # A few texts chose it: they may have left one voter.
        voters = {"members": [0, 1, 2], "weights": [1.0] * 3}
        chosen = (result.record.ensemble or {}) | voters
        Store.open(url).update_search(result.id, ensemble=chosen)
    return url


class Server:
    """`autoprompt serve`, on one replica.

    Attributes:
        url: where it listens.
        token: what requests carry.
        ray_folder: all that Ray writes.
    """

    def __init__(self, db: str, names: Sequence[str], folder: Path) -> None:
        port = free_port()
        self.url, self.token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
        self.log = folder / "serve.log"
        # A socket's path must be short.
        self.ray_folder = Path(tempfile.mkdtemp(prefix="rs-"))
        limits = [f"--{name}={value}" for name, value in LIMITS.items()]
        command = [
            *(sys.executable, "-m", "autoprompt", "serve", *names, "--db", db, f"--port={port}"),
            *("--cpus-per-replica=1", "--poll-seconds=0.5", "--timeout-seconds=300", *limits),
        ]
        environment = {
            "AUTOPROMPT_SERVE_TOKEN": self.token,
            "PYTHONPATH": str(ROOT),
            "RAY_TMPDIR": str(self.ray_folder),
            "RAY_metrics_report_interval_ms": "500",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | environment, cwd=folder
            )
        wait_for(self._is_ready, 300, "the server")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return requests.post(f"{self.url}{path}", headers=headers, timeout=300, **options)

    def get(self, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.get(f"{self.url}{path}", headers=headers, timeout=300)

    def replicas(self) -> list[psutil.Process]:
        """The processes that hold the model."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                title = process.cmdline()
            except psutil.Error:
                continue
            if title and title[0].startswith("ray::ServeReplica:autoprompt:Labeller"):
                found.append(process)
        return found

    def stop(self) -> int:
        """End it as SIGTERM does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)
