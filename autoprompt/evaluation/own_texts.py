"""The texts that a stored search was made from, if they are still there and still the same."""

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import DataError
from autoprompt.store import SearchRecord
from autoprompt.workers.data import Splits


def splits_of(search: SearchRecord) -> Splits:
    """A search's train, validation and test texts, read anew.

    Raises:
        DataError: they are gone, or not what they were.
    """
    splits = SearchConfig.model_validate(search.config).splits(search.seed)
    if splits.fingerprint != search.versions.get("data"):
        raise DataError(
            f"search {search.name!r}: its texts are not what they were when it began; put them back"
        )
    return splits
