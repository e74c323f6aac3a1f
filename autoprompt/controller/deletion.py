"""Searches that are taken out of the store."""

import json
from collections.abc import Sequence

from autoprompt.controller.lease import refuse_if_alive
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import SearchRecord, State, Store


def delete(store: Store, searches: Sequence[SearchRecord], progress: SearchProgress) -> None:
    """Delete searches, all of them or none.

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
    alive = store.delete_searches({search.id: search.heartbeat_at for search in searches})
    if alive:
        raise BadInputError(
            f"search {alive[0]!r} has begun to run again; `autoprompt show {alive[0]}` shows how "
            "far it is"
        )
