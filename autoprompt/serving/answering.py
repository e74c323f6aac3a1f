"""From requests to replicas: what is taken in, who answers it, and what if nobody does."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from autoprompt.serving.messages import Asked, Labelled, ServedSearch
from autoprompt.serving.metrics import ServingMetrics
from autoprompt.serving.settings import ServeSettings
from autoprompt.workers.rows import Text

#: Texts of a request that go to a replica together, so that a long one does not hold up short ones.
_TEXTS_A_PART = 16

#: How often a part of a request is sent, where the replica that had it dies.
_ATTEMPTS = 4

#: Over how much of the last answers the pace is reckoned.
_MEMORY = 0.9


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: of the response.
        detail: why, in a line.
        retry_after: seconds to wait before the next try; None where another try is of no use.
    """

    def __init__(self, status: int, detail: str, why: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.why, self.retry_after = status, detail, why, retry_after


class Answering:
    """The searches that replicas answer for, and the requests that wait for them.

    Attributes:
        searches: by name, as a replica told of them last; none before the first has loaded.
    """

    def __init__(
        self, labeller: DeploymentHandle, settings: ServeSettings, metrics: ServingMetrics
    ) -> None:
        self._labeller = labeller
        self._settings = settings
        self._metrics = metrics
        self._waiting = 0
        #: Texts a second, while there are any.
        self._pace = 0.0
        self.searches: dict[str, ServedSearch] = {}
        self.heard_at = -math.inf

    async def follow(self) -> None:
        """Keep `searches` at what replicas say, for as long as this runs."""
        while True:
            try:
                told = await asyncio.wait_for(
                    self._labeller.told.remote(), self._settings.timeout_seconds
                )
            except (RayActorError, DeploymentUnavailableError, TimeoutError):
                await asyncio.sleep(0.5)
                continue
            self.searches = {name: ServedSearch(**search) for name, search in told.items()}
            self.heard_at = time.monotonic()
            await asyncio.sleep(self._settings.poll_seconds)

    @property
    def is_ready(self) -> bool:
        """Whether a replica has been heard of lately."""
        patience = self._settings.poll_seconds + self._settings.timeout_seconds
        return time.monotonic() - self.heard_at < patience

    def search(self, name: str) -> ServedSearch:
        """A search that is served.

        Raises:
            RefusedError: 404, there is none of that name; 503, none is loaded yet.
        """
        if not self.searches:
            raise RefusedError(503, "the model is being loaded", "loading", retry_after=5)
        if name not in self.searches:
            known = ", ".join(self.searches)
            raise RefusedError(
                404, f"no search {name!r} is served here; there are {known}", "search"
            )
        return self.searches[name]

    async def label(
        self, asked: Mapping[str, Sequence[Text]]
    ) -> dict[str, list[Mapping[str, Any]]]:
        """Label texts, each by the search it is sent to: its name -> its predictions.

        Raises:
            RefusedError: 422, a text will not do; 429, too many wait; 503, no replica answered.
        """
        count = sum(map(len, asked.values()))
        if self._waiting and self._waiting + count > self._settings.max_waiting:
            wait = math.ceil(self._waiting / self._pace) if self._pace else 1
            raise RefusedError(
                429,
                f"{self._waiting} texts are waiting, of {self._settings.max_waiting} that may; try "
                f"again in {wait} s",
                "waiting",
                retry_after=min(max(wait, 1), 60),
            )
        started, ahead = time.monotonic(), self._waiting + count
        self._count(count)
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                most = min(_TEXTS_A_PART, self._settings.batch_texts)
                parts = [self._part(name, texts) for name, texts in _parts(asked, most)]
                found = await asyncio.gather(*parts)
        except TimeoutError:
            limit = self._settings.timeout_seconds
            raise RefusedError(503, f"no answer within {limit:g} s", "time", 5) from None
        finally:
            self._count(-count)
        took = time.monotonic() - started
        by_search: dict[str, list[Mapping[str, Any]]] = {name: [] for name in asked}
        for name, predictions in found:
            by_search[name] += predictions
        for name, texts in asked.items():
            self._metrics.answered(name, len(texts), took)
        self._reckon(ahead / max(took, 1e-3))
        return by_search

    async def _part(self, name: str, texts: Sequence[Text]) -> tuple[str, list[Mapping[str, Any]]]:
        """A few of a request's texts, sent again where the replica that had them dies: any other
        says the same of them."""
        for _ in range(_ATTEMPTS):
            try:
                labelled: Labelled = await self._labeller.label.remote(Asked(name, texts))
            except RayActorError:
                self._metrics.sent_again()
                continue
            except DeploymentUnavailableError:
                break
            if labelled.refusal is not None:
                raise RefusedError(422, labelled.refusal, "text")
            return name, labelled.predictions
        raise RefusedError(503, "no replica answers; try again", "replicas", retry_after=5)

    def _count(self, more: int) -> None:
        self._waiting += more
        self._metrics.waiting(self._waiting)

    def _reckon(self, pace: float) -> None:
        """Texts a second, by how long a request took behind so many texts (Little's law)."""
        self._pace = _MEMORY * self._pace + (1 - _MEMORY) * pace if self._pace else pace


def _parts(asked: Mapping[str, Sequence[Text]], most: int) -> list[tuple[str, Sequence[Text]]]:
    return [
        (name, texts[start : start + most])
        for name, texts in asked.items()
        for start in range(0, len(texts), most)
    ]
