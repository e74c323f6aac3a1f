"""The frozen model of a stored search, if it is still there and still the same."""

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import ModelError
from autoprompt.store import SearchRecord
from autoprompt.workers.adapter import resolve
from autoprompt.workers.model_files import ModelSpec, fingerprint


def model_of(search: SearchRecord) -> ModelSpec:
    """The model that a search was on, if it is still there and still the same.

    Raises:
        ModelError: it is gone, or another one now.
    """
    spec = SearchConfig.model_validate(search.config).model
    known = search.versions.get("model")
    try:
        there = fingerprint(resolve(spec))
    except ModelError as error:
        raise ModelError(f"{error}; search {search.name!r} was on it: put it back there") from None
    if there is None and known is not None:
        # A Hub id, whose newest commit may be another by now.
        return spec.model_copy(update={"revision": known})
    if there is not None and there != known:
        raise ModelError(
            f"model {spec.path}: not the one that search {search.name!r} was on (its hash was "
            f"{known} and is {there}), and prompts mean something to their own model only: put "
            "that one back"
        )
    return spec
