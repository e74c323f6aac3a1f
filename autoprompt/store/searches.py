"""Writing searches: their row and their end."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store.claims import Claims, changes
from autoprompt.store.database import writes
from autoprompt.store.reading import search_record
from autoprompt.store.records import SearchRecord
from autoprompt.store.states import State
from autoprompt.store.tables import Search, Trial, now


class Searches(Claims):
    """The store's writes to searches."""

    def create_search(self, *, numbered: bool = False, **fields: Any) -> SearchRecord:
        """A new search, running.

        Args:
            numbered: where its name is taken, take the first free of name-2, name-3, ...

        Raises:
            BadInputError: another one has its name.
        """
        wanted, number, started_at = fields["name"], 1, now()
        while True:
            # Two searches may take one name at the same moment: one of them meets the other's.
            with suppress(sa.exc.IntegrityError):
                search = self._add_search(started_at, fields)
                if search is not None:
                    return search
            if not numbered:
                raise BadInputError(f"a search named {wanted!r} exists; choose another --name")
            number += 1
            fields["name"] = f"{wanted}-{number}"

    @writes
    def _add_search(
        self, session: Session, started_at: datetime, fields: dict[str, Any]
    ) -> SearchRecord | None:
        """None where another search has the name."""
        named = session.scalar(sa.select(Search).where(Search.name == fields["name"]))
        if named is None:
            named = Search(state=State.RUNNING, started_at=started_at, **fields)
            session.add(named)
            session.flush()
        elif named.started_at != started_at:
            return None
        return search_record(named)

    @changes
    def update_search(self, session: Session, /, search_id: int, **fields: Any) -> None:
        """Change some columns of a search."""
        session.execute(sa.update(Search).where(Search.id == search_id).values(**fields))

    @writes
    def delete_searches(
        self, session: Session, looked_at: Mapping[int, datetime | None]
    ) -> list[str]:
        """Take searches out, with all that belongs to them: trials, prompts, baselines, and the
        record of the held-out texts that were opened for them. All of them, or none.

        Args:
            looked_at: each one's last sign of life when it was looked at.

        Returns:
            The names of those that have given another one since; then nothing is deleted.
        """
        asked = sa.select(Search.id, Search.name, Search.heartbeat_at)
        rows = session.execute(asked.where(Search.id.in_(looked_at)).with_for_update())
        alive = [name for number, name, beat in rows if beat != looked_at[number]]
        if not alive:
            session.execute(sa.delete(Search).where(Search.id.in_(looked_at)))
        return alive

    @changes
    def finish_search(
        self, session: Session, search_id: int, state: State, error: str | None = None
    ) -> None:
        """Close a search; trials still running are stopped, and keep their best rung."""
        session.execute(
            sa.update(Trial)
            .where(Trial.search_id == search_id, Trial.state == State.RUNNING)
            .values(state=State.STOPPED, note=f"the search {state} first", finished_at=now())
        )
        session.execute(
            sa.update(Search)
            .where(Search.id == search_id)
            .values(state=state, error=error, finished_at=now())
        )
