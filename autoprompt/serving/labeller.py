"""What a replica does: the frozen model in memory, and batches of texts that searches label."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import torch
from ray import serve
from ray.serve.metrics import Histogram

from autoprompt.ensemble.predictor import Prediction, Predictor, model_for
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.serving.door import Door
from autoprompt.serving.messages import Asked, Labelled
from autoprompt.serving.searches import ServedSearches
from autoprompt.serving.settings import ServeSettings
from autoprompt.workers.known_model import load_known_model
from autoprompt.workers.rows import Text

log = logging.getLogger(__name__)


def _texts_in(asked: Sequence[Asked]) -> int:
    return sum(len(one.texts) for one in asked)


class Labeller:
    """One copy of the model.

    Requests are computed in a thread of their own, so that others are taken in meanwhile; a better
    ensemble takes the place of the one before between two batches.
    """

    def __init__(self, settings: ServeSettings) -> None:
        torch.set_num_threads(settings.cpus_per_replica)
        self._settings = settings
        self._searches = ServedSearches(settings.searches, settings.db)
        self._model = load_known_model(model_for(self._searches.ensembles))
        self._predictor = Predictor(self._model, self._searches.ensembles)
        self._told = self._searches.told()
        self._thread = ThreadPoolExecutor(1)
        self._door = Door(settings.batch_texts, settings.batch_seconds)
        self._batch_sizes = Histogram(
            "autoprompt_batch_texts",
            "Texts that went through the model together.",
            [1, 2, 4, 8, 16, 32, 64, 128, 256],
        )
        self._answer_batch.set_max_batch_size(settings.batch_texts)
        self._answer_batch.set_batch_wait_timeout_s(settings.batch_wait_ms / 1000)
        self._following = asyncio.create_task(self._follow())

    async def told(self) -> dict[str, dict[str, Any]]:
        """What `GET /v1/searches` tells, by the searches' names."""
        return {name: asdict(search) for name, search in self._told.items()}

    async def label(self, asked: Asked) -> Labelled:
        """Label texts, at most `batch_texts`, together with those of other requests."""
        await self._door.enter(len(asked.texts))
        labelled: Labelled = await self._answer_batch(asked)
        return labelled

    @serve.batch(batch_size_fn=_texts_in)  # type: ignore[untyped-decorator]
    async def _answer_batch(self, asked: list[Asked]) -> list[Labelled]:
        texts = _texts_in(asked)
        async with self._door.closed(texts):
            self._batch_sizes.observe(texts)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _answered, self._predictor, asked)

    async def _follow(self) -> None:
        """Look at the store now and then, for as long as there is this replica."""
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await asyncio.to_thread(self._look)
            except Exception:
                log.exception("the searches stay as they were loaded")

    def _look(self) -> None:
        if self._searches.look():
            self._predictor = Predictor(self._model, self._searches.ensembles)
            self._told = self._searches.told()


def _answered(predictor: Predictor, asked: Sequence[Asked]) -> list[Labelled]:
    """The answers to requests, computed together; where one of them cannot be answered, each alone,
    so that the others are."""
    together: dict[str, list[Text]] = {}
    for one in asked:
        together.setdefault(one.search, []).extend(one.texts)
    try:
        labelled = {name: iter(own) for name, own in predictor.answer(together).items()}
    except (AutopromptError, ValueError) as error:
        if len(asked) > 1:
            return [answer for one in asked for answer in _answered(predictor, [one])]
        return [Labelled([], " ".join(str(error).split()))]
    return [Labelled([_plain(next(labelled[one.search])) for _ in one.texts]) for one in asked]


def _plain(prediction: Prediction) -> Mapping[str, Any]:
    """All but the text, which whoever asked has."""
    return {key: value for key, value in vars(prediction).items() if key != "text"}
