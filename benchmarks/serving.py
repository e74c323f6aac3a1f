"""A server of three searches with five voters each, under load, beside the offline predictor.

python -m benchmarks.serving [--seconds 20] [--texts 400] [--replicas 1]

The searches are stored ones on the demo's model. `serving_load` sends the requests, and holds each
answer against what the predictor says of the same text without a server.
"""

import argparse
import csv
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

import autoprompt
from autoprompt.store import Store
from autoprompt.workers.rows import as_text
from benchmarks.prediction import TASKS, timed
from benchmarks.row import CORES, ROOT
from benchmarks.setting import DEMO, movie_splits, search_config

NAMES = ("moods", "lengths", "feelings")
VOTERS = 5

#: Requests that are waiting at a time, by how many texts each has: more than a batch takes.
USERS = {1: 96, 16: 8}


def make_store(folder: Path) -> str:
    """The URL of a store with the three searches, each of five soft prompts of 4 tokens."""
    url = f"sqlite:///{folder / 'store.db'}"
    with (DEMO / "data" / "movies.csv").open(encoding="utf-8", newline="") as file:
        every = list(csv.DictReader(file))
    rows = [
        row
        for label in ("negative", "positive")
        for row in [own for own in every if own["label"] == label][:100]
    ]
    for name, task in zip(NAMES, TASKS, strict=True):
        labels = dict(zip(("negative", "positive"), task.label_words, strict=True))
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows([row["text"], labels[row["label"]]] for row in rows)
        config = search_config(
            name,
            {"train": 32, "validation": 16, "test": 4},
            {
                "soft": {
                    "length": 4,
                    "learning_rate": {"low": 0.01, "high": 0.06, "log": True},
                    "steps": 4,
                    "batch_size": 8,
                }
            },
            {"trials": VOTERS, "workers": 0, "rungs": 1, "cache_gib_on_disk": 0},
            path,
            task,
        )
        # In bfloat16 a text's neighbours in a pass change its probabilities by a hundredth.
        exact = config.model.model_copy(update={"dtype": "float32"})
        config = config.model_copy(update={"baselines": (), "model": exact})
        result = autoprompt.search(config, db=url, quiet=True)
        voters = {"members": list(range(VOTERS)), "weights": [1.0] * VOTERS}
        ensemble = (result.record.ensemble or {}) | voters
        Store.open(url).update_search(result.id, ensemble=ensemble)
    return url


def offline(url: str, texts: Sequence[str], expected: Path) -> dict[str, float]:
    """Texts a second that the predictor labels by one search, and by all three a third each; what
    it says of every text by every search is written to a file."""
    predictor = autoprompt.load(list(NAMES), db=url).predictor
    said = predictor.predict(texts)
    content = {
        name: {"texts": list(texts), "predictions": [vars(own) for own in predictions]}
        for name, predictions in said.items()
    }
    expected.write_text(json.dumps(content), encoding="utf-8")
    third = {name: texts[place :: len(NAMES)] for place, name in enumerate(NAMES)}
    return {
        "one": len(texts) / timed(lambda: predictor.answer({NAMES[0]: texts})),
        "mixed": len(texts) / timed(lambda: predictor.answer(third)),
    }


class Server:
    """`autoprompt serve` with all cores."""

    def __init__(self, url: str, folder: Path, replicas: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.environment = os.environ | {"AUTOPROMPT_SERVE_TOKEN": secrets.token_hex(16)}
        self._log = folder / "serve.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "autoprompt", "serve", *NAMES, "--db", url),
                    *(f"--port={port}", f"--replicas={replicas}"),
                    f"--cpus-per-replica={max(CORES // replicas, 1)}",
                ],
                stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip
        while not self._is_ready():
            time.sleep(0.5)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            sys.exit(self._log.read_text(encoding="utf-8"))
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def load(self, expected: Path, **options: Any) -> "subprocess.Popen[str]":
        """A load that has begun."""
        named = [
            word
            for name, value in options.items()
            for word in (f"--{name}", *(value if isinstance(value, tuple) else [str(value)]))
        ]
        return subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-m", "benchmarks.serving_load"),
                *("--url", self.url, "--expected", str(expected), *named),
            ],
            stdout=subprocess.PIPE, text=True, env=self.environment, cwd=ROOT,
        )  # fmt: skip

    def kill_a_replica(self) -> None:
        for process in psutil.Process(self.process.pid).children(recursive=True):
            title = process.cmdline()
            if title and title[0].startswith("ray::ServeReplica:autoprompt:Labeller"):
                process.kill()
                return
        sys.exit("no replica runs")


@contextmanager
def server(url: str, folder: Path, replicas: int) -> Iterator[Server]:
    running = Server(url, folder, replicas)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(120)


def result_of(load: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a load found, once it has ended."""
    said, _ = load.communicate()
    if load.returncode != 0:
        sys.exit(f"the load ended with {load.returncode}")
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--replicas", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [as_text(text) for text in movie_splits().test.texts[: given.texts]]
        url, expected = make_store(folder), folder / "expected.json"
        # In a process of its own, whose model is gone when the server's is loaded.
        found: dict[str, Any] = {"offline": _apart(url, texts, expected, folder)}
        with server(url, folder, given.replicas) as running:

            def under(**options: Any) -> dict[str, Any]:
                return result_of(running.load(expected, seconds=given.seconds, **options))

            for size, users in USERS.items():
                for tasks in (NAMES[:1], NAMES):
                    kind = "one" if len(tasks) == 1 else "mixed"
                    found[f"{kind} {size}"] = under(tasks=tasks, size=size, users=users)
            most = found["mixed 1"]["texts_a_second"]
            found["calm"] = under(tasks=NAMES, size=1, users=USERS[1], rate=0.8 * most)
            found["past"] = under(tasks=NAMES, size=16, users=120)
            load = running.load(
                expected, seconds=given.seconds, tasks=NAMES, size=16, users=USERS[16]
            )
            time.sleep(given.seconds / 2)
            running.kill_a_replica()
            found["killed"] = result_of(load)
    print(json.dumps(found))


def _apart(url: str, texts: Sequence[str], expected: Path, folder: Path) -> dict[str, float]:
    (folder / "texts.json").write_text(json.dumps(list(texts)), encoding="utf-8")
    code = (
        "import json, sys; from pathlib import Path; from benchmarks.serving import offline; "
        "url, texts, expected = sys.argv[1:]; "
        "print(json.dumps(offline(url, json.loads(Path(texts).read_text()), Path(expected))))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, url, str(folder / "texts.json"),
         str(expected)],
        stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
