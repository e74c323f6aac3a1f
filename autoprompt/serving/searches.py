"""The searches that a server answers for, as the store has them now."""

import logging
from collections.abc import Sequence

from autoprompt.ensemble.ensemble import Ensemble
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.serving.messages import ServedSearch
from autoprompt.store import Store
from autoprompt.store.location import store_url

log = logging.getLogger(__name__)


class ServedSearches:
    """Searches of one store, found once by what they were called, and then by their ids: `latest`
    stays the one that it was.

    Attributes:
        ensembles: who votes in each, at the last look.
    """

    def __init__(self, names: Sequence[str], db: str | None) -> None:
        """The searches, with their ensembles.

        Raises:
            SearchNotFoundError: one is not there.
            SearchUnfinishedError: one has no ensemble.
            StoreError: the database cannot be opened.
        """
        self._store = Store.open(store_url(db), create=False)
        found = [SearchResult(self._store, self._store.find(name)) for name in names]
        self._results = list({result.id: result for result in found}.values())
        self.ensembles: list[Ensemble] = [result.ensemble for result in self._results]

    def look(self) -> bool:
        """Look at the store again: whether one has another ensemble than before. One that has gone,
        or has none for now, stays what it was."""
        changed = False
        for place, before in enumerate(self._results):
            try:
                result = SearchResult(self._store, self._store.find(str(before.id)))
                if result.record.ensemble in (None, before.record.ensemble):
                    continue
                ensemble = result.ensemble
            except AutopromptError as error:
                log.warning("search %r stays as it was loaded: %s", before.name, error)
                continue
            self._results[place], self.ensembles[place], changed = result, ensemble, True
        return changed

    def told(self) -> dict[str, ServedSearch]:
        """What there is to know of them, by their names."""
        return {
            result.name: ServedSearch(
                name=result.name,
                id=result.id,
                answers=result.config.task.answers,
                labels=list(result.answers.names),
                columns=list(result.config.task.reads),
                members=len(ensemble.members),
                vote=ensemble.vote,
                abstains=ensemble.abstention is not None,
            )
            for result, ensemble in zip(self._results, self.ensembles, strict=True)
        }
