"""One load on a server, by locust, each of its answers held against the offline predictor's.

python -m benchmarks.serving_load --url URL --expected FILE --tasks moods --size 16 --users 8 \\
    --seconds 20 [--rate 40]

A token is read from AUTOPROMPT_SERVE_TOKEN. Users send one request after another, or all of them
together so many a second (`--rate`), on a schedule that waits for no answer as long as there are
users enough.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, constant_throughput, task
from locust.env import Environment

#: How far a probability may lie from the offline one: other texts stood in the same pass.
_TOLERANCE = 0.001

#: Of statuses that refuse a request, which must say when to try again.
_REFUSALS = (429, 503)


class Load:
    """What is asked, and what came of it.

    Attributes:
        answered: requests by status; 0 where none came.
        seconds: of each request that was answered, with when it was sent.
        wrong: predictions that are not what they should be.
        silent: refusals that do not say when to try again.
    """

    def __init__(self, expected: dict[str, Any], tasks: list[str], size: int) -> None:
        self._expected = expected
        self._size = size
        self._turn = itertools.cycle(tasks)
        self._draw = random.Random(0)
        self.answered: Counter[int] = Counter()
        self.seconds: list[tuple[float, float]] = []
        self.wrong = 0
        self.silent = 0

    def ask(self, client: Any) -> None:
        name = next(self._turn)
        known = self._expected[name]
        places = [self._draw.randrange(len(known["texts"])) for _ in range(self._size)]
        body = {"search": name, "texts": [known["texts"][place] for place in places]}
        sent = time.monotonic()
        with client.post("/v1/predict", json=body, catch_response=True) as response:
            took = time.monotonic() - sent
            self.answered[response.status_code] += 1
            if response.status_code == 200:
                self.seconds.append((sent, took))
                rows = response.json()["predictions"]
                right = [known["predictions"][place] for place in places]
                self.wrong += len(rows) != len(right)
                self.wrong += sum(map(_differs, rows, right))
                response.success()
            elif response.status_code in _REFUSALS:
                wait = response.headers.get("Retry-After")
                self.silent += wait is None
                response.success()
                gevent.sleep(min(float(wait or 1), 1.0))

    def found(self, seconds: float, warm: float) -> dict[str, Any]:
        """As plain values: latencies and throughput of what was sent after the warm-up."""
        kept = sorted(took for sent, took in self.seconds if sent >= warm)
        ended = [sent + took for sent, took in self.seconds]
        counted = sum(warm <= end <= warm + seconds for end in ended)
        return {
            "texts_a_second": counted * self._size / seconds,
            "requests": sum(self.answered.values()),
            "answered": self.answered[200],
            "refused": sum(self.answered[status] for status in _REFUSALS),
            "lost": sum(self.answered.values())
            - sum(self.answered[status] for status in (200, *_REFUSALS)),
            "statuses": {str(status): count for status, count in self.answered.items()},
            "wrong": self.wrong,
            "silent": self.silent,
            "p50": statistics.median(kept) if kept else None,
            "p99": kept[min(len(kept) * 99 // 100, len(kept) - 1)] if kept else None,
        }


def _differs(row: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether a prediction is another."""
    probabilities = right["probabilities"]
    return row["label"] != right["label"] or any(
        abs(row["probabilities"][name] - p) > _TOLERANCE for name, p in probabilities.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--expected", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--size", type=int, required=True, help="texts a request")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm", type=float, default=5.0, help="seconds that are not counted")
    parser.add_argument("--rate", type=float, help="requests a second, of all users together")
    given = parser.parse_args()
    expected = json.loads(given.expected.read_text(encoding="utf-8"))
    load = Load(expected, given.tasks, given.size)
    token = os.environ["AUTOPROMPT_SERVE_TOKEN"]

    class Asking(FastHttpUser):
        host = given.url
        wait_time = constant_throughput(given.rate / given.users) if given.rate else constant(0)
        network_timeout = connection_timeout = 120.0
        default_headers = {"Authorization": f"Bearer {token}"}  # noqa: RUF012 - locust's name

        def on_start(self) -> None:
            # Not all at the same moment.
            gevent.sleep(random.random() * (given.users / given.rate if given.rate else 0.5))

        @task  # type: ignore[untyped-decorator]
        def ask(self) -> None:
            load.ask(self.client)

    environment = Environment(user_classes=[Asking], stop_timeout=120)
    runner = environment.create_local_runner()
    begun = time.monotonic()
    runner.start(given.users, spawn_rate=min(given.users, 100))
    gevent.sleep(given.warm + given.seconds)
    runner.quit()
    print(json.dumps(load.found(given.seconds, begun + given.warm)))


if __name__ == "__main__":
    main()
