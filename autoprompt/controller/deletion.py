"""Searches that are taken out of the store."""

import json
from collections.abc import Sequence

from autoprompt.controller.lease import refuse_if_alive
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import SearchRecord, State, Store


def delete(store: Store, searches: Sequence[SearchRecord], progress: SearchProgress) -> None:
    """Delete searches, each whole or not at all.

    Raises:
        BadInputError: one runs, or another one that is not finished starts from its prompts; then
            all of them stay.
    """
    going = {search.id for search in searches}
    staying = [other for other in store.searches() if other.id not in going]
    for search in searches:
        refuse_if_alive(store, search, progress)
        for other in staying:
            # What a search starts from was pinned to a trial, as NAME/NUMBER, when it began.
            begun_from = json.dumps(other.config["space"], ensure_ascii=False)
            if other.state != State.FINISHED and f'"{search.name}/' in begun_from:
                raise BadInputError(
                    f"search {search.name!r}: {other.name!r}, which is {other.state}, starts from "
                    "its prompts; let that end, or delete it, too"
                )
    for search in searches:
        store.delete_search(search.id)
