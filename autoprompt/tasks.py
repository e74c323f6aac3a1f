"""Several searches on one frozen model: one model in memory, many tasks."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from autoprompt.results import SearchResult

if TYPE_CHECKING:
    from autoprompt.ensemble.predictor import Prediction, Predictor
    from autoprompt.workers.rows import Text


class Tasks:
    """The results of several searches, which label texts together."""

    def __init__(self, results: Sequence[SearchResult]) -> None:
        self._results = {result.name: result for result in results}

    def __iter__(self) -> Iterator[SearchResult]:
        return iter(self._results.values())

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, name: str) -> SearchResult:
        return self._results[name]

    @cached_property
    def predictor(self) -> "Predictor":
        """The loaded model with the members' prompts; loading happens on first use.

        Raises:
            ModelError: the model is no longer where it was.
            BadInputError: the searches are on several models.
            SearchUnfinishedError: one of them has no ensemble.
        """
        from autoprompt.ensemble.predictor import Predictor

        return Predictor.load([result.ensemble for result in self])

    def predict(self, texts: "Sequence[Text]") -> "list[dict[str, Prediction]]":
        """Label texts by every search: for each text, the searches' names and predictions."""
        by_task = self.predictor.predict(texts)
        return [
            dict(zip(by_task, predictions, strict=True))
            for predictions in zip(*by_task.values(), strict=True)
        ]
