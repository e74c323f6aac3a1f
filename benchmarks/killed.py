"""The controller of a real search is killed at random moments, and the search resumed each time.

python -m benchmarks.killed --times 50

Each time a new search of the same seed on a tiny model begins, its controller gets SIGKILL, and
`autoprompt resume` ends it. With one worker it should then be the search that was left alone, byte
for byte.
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

import autoprompt
from autoprompt.results import SearchResult
from benchmarks.setting import SEED, TASK
from tests.conftest import write_texts
from tests.tiny import save_tiny_model

COMMAND = Path(sys.executable).with_name("autoprompt")
TRIALS = 8


def write_config(folder: Path) -> Path:
    write_texts(folder / "texts.csv")
    save_tiny_model(folder / "model")
    config = {
        "name": "killed",
        "model": {"path": "model", "dtype": "float32"},
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": TASK.model_dump(mode="json"),
        "space": {
            "soft": {"length": [1, 2, 4], "learning_rate": {"low": 0.01, "high": 0.1}}
            | {"steps": 100, "batch_size": 8},
            "hard": {"tokens": [2, 3], "start": "in short", "rounds": 16, "batch_size": 8},
        },
        "search": {"trials": TRIALS, "workers": 1, "seed": SEED, "cache_gib_on_disk": 0},
    }
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def start(path: Path, db: str) -> tuple["subprocess.Popen[str]", float]:
    """A search, from the moment its row is there."""
    process = subprocess.Popen(
        [COMMAND, "search", path, "--db", db], stderr=subprocess.PIPE, text=True, cwd=path.parent
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("search 1: "):
            break
    return process, time.monotonic()


def rungs(result: SearchResult) -> list[tuple[Any, ...]]:
    return [
        (trial.number, rung.rung, rung.step, rung.score, rung.loss)
        for trial in result.trials
        for rung in trial.rungs
    ]


def content(result: SearchResult) -> Any:
    """All that a search found, down to the prompts' bytes, and nothing of when or where."""
    trials = [(trial.number, trial.plan, trial.state, trial.score) for trial in result.trials]
    prompts = [
        (prompt.number, prompt.content, prompt.log_probs)
        for prompt in result._store.prompts(result.id)
    ]
    return trials, rungs(result), prompts, result.test


def run(times: int) -> dict[str, Any]:
    found = {"killed": 0, "lost": 0, "twice": 0, "on_budget": 0, "same": 0, "reported": 0}
    moments = random.Random(SEED)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = write_config(folder)
        for name in ("cold", "alone"):  # the first also waits for the disk
            db = f"sqlite:///{folder}/{name}.db"
            process, began = start(path, db)
            assert process.wait() == 0
            seconds = time.monotonic() - began
        expected = content(autoprompt.load(db=db))
        for attempt in itertools.count():
            if found["killed"] == times:
                break
            db = f"sqlite:///{folder}/killed-{attempt}.db"
            process, began = start(path, db)
            with suppress(subprocess.TimeoutExpired):  # else it was faster this time
                process.wait(timeout=moments.uniform(0, seconds))
                continue
            os.kill(process.pid, signal.SIGKILL)
            _, said = process.communicate()
            before = autoprompt.load(db=db)
            if before.state == "finished":  # it had only its own end left to come to
                continue
            told = {int(line.split()[1]) for line in said.splitlines() if line[:6] == "trial "}
            reported = rungs(before)
            resumed = subprocess.run(
                [COMMAND, "resume", "killed", "--db", db],
                capture_output=True,
                text=True,
                check=False,
            )
            after = autoprompt.load(db=db)
            now = rungs(after)
            found["killed"] += 1
            found["reported"] += len(reported)
            found["lost"] += len(set(reported) - set(now))
            found["lost"] += len(told - {trial.number for trial in before.trials if trial.ended})
            found["twice"] += len(now) - len({row[:2] for row in now})
            numbers = [trial.number for trial in after.trials if trial.ended]
            ended = resumed.returncode == 0 and after.state == "finished"
            found["on_budget"] += ended and numbers == list(range(TRIALS))
            found["same"] += content(after) == expected
            print(
                f"{found}, {resumed.stderr[-300:] if resumed.returncode else ''}", file=sys.stderr
            )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    print(json.dumps(run(parser.parse_args().times)))
