"""Whether two checkouts give the same answers: equal plans, prompts, scores and votes.

python -m benchmarks.compare_checkouts OLD NEW

Both run the same searches on the demo's model and texts, in float32 with one worker: soft; hard,
with finalists trained again; mixed; and one that is killed among its trials and resumed. They are
asked through the command line and read by SQL, as their Python may differ. Exit code 1 if anything
differs; what only one of them stores is a difference.
"""

import argparse
import csv
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.setting import DEMO, MODEL, SEED, TASK
from benchmarks.stored_answers import Answers, leaves, read_answers

TRAINED: dict[str, Any] = {
    "length": {"low": 1, "high": 6},
    "learning_rate": {"low": 0.005, "high": 0.1, "log": True},
    "steps": [4, 8],
    "batch_size": 8,
}
WORDS: dict[str, Any] = {
    "tokens": {"low": 2, "high": 5},
    "start": ["In short, it was", "Overall, the writer's opinion is"],
    "candidates": 4,
}
SOFT = TRAINED | {
    "init": ["random", "vocabulary", "labels"],
    "position": ["prefix", "suffix", "both", "end"],
    "calibration": ["none", "content_free"],
}
HARD = WORDS | {"rounds": [2, 4], "batch_size": 8, "position": ["prefix", "suffix"]}
MIXED = TRAINED | WORDS | {"layout": ["{text}{hard}{soft}", "{hard}{text}{soft}"], "swap_every": 2}
#: Search -> what its configuration adds.
SEARCHES: dict[str, dict[str, Any]] = {
    "soft": {"space": {"soft": SOFT}},
    "hard": {"space": {"hard": HARD}, "confirm": {"top": 2, "seeds": 2}},
    "mixed": {"space": {"mixed": MIXED}, "ensemble": {"size": 3, "vote": "weighted"}},
    "resumed": {"space": {"soft": SOFT, "hard": HARD}, "ensemble": {"select": "greedy"}},
}
#: Search -> a search that is killed once so many of its trials have ended.
KILLED = {"resumed": 2}
TRIALS = 5
TEXTS = 24
_NONE = "(none)"


class Checkout:
    """A folder that holds a version of autoprompt, and one for its searches."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self._folder = folder
        self._store = folder / "store.db"
        self._environment = os.environ | {
            "PYTHONPATH": str(path),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "disabled",
            "RAY_worker_niceness": "0",
            "HF_HUB_OFFLINE": "1",
        }
        folder.mkdir()
        file = self._python("import autoprompt; print(autoprompt.__file__)").strip()
        if not Path(file).is_relative_to(path):
            sys.exit(f"Error: {path} holds no autoprompt: Python imports {file}")

    def answers(self) -> Answers:
        """Run every search to its end."""
        texts = self._folder / "texts.txt"
        texts.write_text("\n".join(tweets()), encoding="utf-8")
        answers: Answers = {}
        for name, changes in SEARCHES.items():
            print(f"{self.path}: {name} ...", file=sys.stderr, flush=True)
            config = self._folder / f"{name}.yaml"
            config.write_text(yaml.safe_dump(configuration(name) | changes), encoding="utf-8")
            if name in KILLED:
                self._kill(name, config)
                self._autoprompt("resume", name)
            else:
                self._autoprompt("search", str(config))
            labels = json.loads(self._autoprompt("predict", name, "--input", str(texts), "--json"))
            stored = read_answers(self._store, name) | {"predictions": dict(leaves("text", labels))}
            answers |= {f"{name}: {part}": values for part, values in stored.items() if values}
        return answers

    def _command(self, *arguments: str) -> list[str]:
        code = "from autoprompt.cli import main; main()"
        return [sys.executable, "-c", code, *arguments, "--db", f"sqlite:///{self._store}"]

    def _autoprompt(self, *arguments: str) -> str:
        return self._output(self._command(*arguments))

    def _python(self, code: str) -> str:
        return self._output([sys.executable, "-c", code])

    def _output(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            env=self._environment,
        )
        if done.returncode != 0:
            sys.exit(f"Error: {self.path}: {' '.join(command)}\n{done.stderr}")
        return done.stdout

    def _kill(self, name: str, config: Path) -> None:
        """Begin a search, and kill it among its trials: when must not matter with one worker."""
        process = subprocess.Popen(
            self._command("search", str(config)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=self._environment,
        )
        ended = (
            "SELECT count(*) FROM trials JOIN searches ON searches.id = search_id "
            "WHERE name = ? AND trials.finished_at IS NOT NULL"
        )
        with closing(sqlite3.connect(self._store)) as connection:
            while connection.execute(ended, (name,)).fetchone()[0] < KILLED[name]:
                if process.poll() is not None:
                    sys.exit(f"Error: {self.path}: search {name} ended before it was killed")
                time.sleep(0.05)
        process.kill()
        process.wait()


def configuration(name: str) -> dict[str, Any]:
    """What all searches share, as their YAML says it."""
    return {
        "name": name,
        "model": {"path": MODEL.path, "dtype": "float32"},
        "data": {
            "path": str(DEMO / "data" / "movies.csv"),
            "sizes": {"train": 48, "validation": TEXTS, "test": TEXTS},
        },
        "task": TASK.model_dump(mode="json"),
        "search": {"trials": TRIALS, "workers": 1, "seed": SEED, "cache_gib_on_disk": 0},
    }


def tweets() -> list[str]:
    """Texts of another domain, to be labelled."""
    with (DEMO / "data" / "tweets.csv").open(encoding="utf-8", newline="") as file:
        rows = itertools.islice(csv.DictReader(file), TEXTS)
        return [row["text"].replace("\n", " ") for row in rows]


def difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """How many values differ, and the first; None where all are equal."""
    names = [name for name in old | new if old.get(name, _NONE) != new.get(name, _NONE)]
    if not names:
        return None
    first = f"{old.get(names[0], _NONE)!r} -> {new.get(names[0], _NONE)!r}"
    return f"{len(names)} differ, first {names[0]}: {first}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("old", type=Path, help="a checkout: a folder with the package autoprompt")
    parser.add_argument("new", type=Path, help="the other one")
    paths = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        old = Checkout(paths.old.resolve(), Path(temporary, "old")).answers()
        new = Checkout(paths.new.resolve(), Path(temporary, "new")).answers()
    table = Table("compared", "values", "outcome", box=box.SIMPLE_HEAD)
    parts = list(old | new)
    outcomes = [difference(old.get(part, {}), new.get(part, {})) for part in parts]
    for part, outcome in zip(parts, outcomes, strict=True):
        table.add_row(part, str(len(old.get(part, {}))), escape(outcome or "equal"))
    Console(width=120).print(table)
    sys.exit(any(outcomes))


if __name__ == "__main__":
    main()
