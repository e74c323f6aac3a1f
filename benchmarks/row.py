"""One line of the benchmarks' table, and how it is measured."""

import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORES = 2
ROOT = Path(__file__).parent.parent

#: What a run that was cut off has measured, a file a command.
UNFINISHED = Path(__file__).parent / "unfinished"


@dataclass(frozen=True)
class Row:
    """One line of the table; its ratio is None where there is nothing to divide by."""

    what: str
    ours: str
    against: str
    ratio: float | None
    target: str
    met: bool
    note: str = ""


@functools.cache
def measure(module: str, *arguments: str, threads: int = CORES) -> Any:
    """The JSON that a benchmark prints last; the same command is run once, and what it printed is
    kept in `UNFINISHED` until a run of all that was asked for has ended."""
    kept = UNFINISHED / f"{' '.join([module, *arguments])}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    found = _measured(["-m", f"benchmarks.{module}", *arguments], threads, ROOT)
    UNFINISHED.mkdir(exist_ok=True)
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def measure_script(name: str, checkout: Path) -> Any:
    """The JSON that a benchmark of this checkout prints last, run on the code of another."""
    return _measured([str(ROOT / "benchmarks" / f"{name}.py")], CORES, checkout)


def _measured(arguments: Sequence[str], threads: int, checkout: Path) -> Any:
    print(f"running {' '.join(arguments)} ...", file=sys.stderr, flush=True)
    settings = {"OMP_NUM_THREADS": str(threads), "RAY_AUTH_MODE": "disabled"}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        env=os.environ | settings | {"PYTHONPATH": str(checkout)},
    )
    if found.returncode != 0:
        sys.exit(found.stderr)
    return json.loads(found.stdout.strip().splitlines()[-1])


def of_seeds(scores: Sequence[float]) -> str:
    """Scores of several seeds: their mean, and each."""
    return f"{statistics.mean(scores):.4f} ({', '.join(f'{each:.3f}' for each in scores)})"


def at_most(what: str, ours: str, against: str, ratio: float, limit: float) -> Row:
    """A line whose target is that ours costs at most so many times the other."""
    return Row(what, ours, against, ratio, f"<= {limit:g}x", ratio <= limit)
