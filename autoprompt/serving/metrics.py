"""What a server says to Prometheus, through the metrics endpoint of every Ray node, and those
endpoints' lines about serving put together.

Ray puts `ray_` before each name, and `_total` after a counter's. Ray Serve's own metrics stand
beside these: requests by route and status, their latencies, replicas, batches.
"""

import asyncio

import aiohttp
import ray
from ray.serve.metrics import Counter, Gauge, Histogram

#: Of all that a node exports, what is about serving.
_OURS = ("ray_serve_", "ray_autoprompt_")

#: Seconds that a node has to answer.
_PATIENCE = 5.0


class ServingMetrics:
    """Counts of one process that takes requests."""

    def __init__(self) -> None:
        self._texts = Counter("autoprompt_served_texts", "Texts labelled.", ("search",))
        self._refused = Counter(
            "autoprompt_refused_requests", "Requests turned away, by why.", ("why",)
        )
        self._again = Counter(
            "autoprompt_requests_sent_again", "Parts of requests whose replica died."
        )
        self._waiting = Gauge("autoprompt_waiting_texts", "Texts that wait for an answer.")
        self._seconds = Histogram(
            "autoprompt_answer_seconds",
            "From a request being read to its answer.",
            [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60],
            ("search",),
        )

    def answered(self, search: str, texts: int, seconds: float) -> None:
        self._texts.inc(texts, {"search": search})
        self._seconds.observe(seconds, {"search": search})

    def refused(self, why: str) -> None:
        self._refused.inc(1, {"why": why})

    def sent_again(self) -> None:
        self._again.inc()

    def waiting(self, texts: int) -> None:
        self._waiting.set(texts)


async def exported() -> str:
    """What the cluster's nodes export about serving, in Prometheus's text format."""
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    urls = [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in nodes
    ]
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        pages = await asyncio.gather(*(_page(session, url) for url in urls))
    families: dict[str, dict[str, None]] = {}
    for line in "\n".join(pages).splitlines():
        if line.startswith("# "):
            # The lines of one metric stand together, whichever node they are from.
            family = families.setdefault(line.split(" ", 3)[2], {})
        family[line] = None
    ours = [lines for name, lines in families.items() if name.startswith(_OURS)]
    return "".join(f"{line}\n" for lines in ours for line in lines)


async def _page(session: aiohttp.ClientSession, url: str) -> str:
    """A node's metrics; nothing of one that does not answer."""
    try:
        async with session.get(url) as response:
            return await response.text() if response.ok else ""
    except (aiohttp.ClientError, TimeoutError):
        return ""
