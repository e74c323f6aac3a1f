"""One line of the benchmarks' table, and how it is measured."""

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

CORES = 2


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
    """The JSON that a benchmark prints last; the same command is run once."""
    print(f"running benchmarks.{module} {' '.join(arguments)} ...", file=sys.stderr, flush=True)
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "RAY_AUTH_MODE": "disabled"},
    )
    if found.returncode != 0:
        sys.exit(found.stderr)
    return json.loads(found.stdout.strip().splitlines()[-1])


def at_most(what: str, ours: str, against: str, ratio: float, limit: float) -> Row:
    """A line whose target is that ours costs at most so many times the other."""
    return Row(what, ours, against, ratio, f"<= {limit:g}x", ratio <= limit)
