"""One controller a search: who may write to it, and whether that one is alive."""

from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from autoprompt.search_spaces.errors import SearchTakenError
from autoprompt.store.database import Bound, Database, Method, writes
from autoprompt.store.reading import Reader
from autoprompt.store.states import State
from autoprompt.store.tables import Search, now

P = ParamSpec("P")
Work = TypeVar("Work")
Owner = TypeVar("Owner", bound="Claims")


class Claims(Reader):
    """The searches that this process has claimed."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        #: Search id -> the controller that this store claimed it for.
        self._claims: dict[int, str] = {}

    def claim_search(self, search_id: int, controller: str, seen: datetime | None) -> bool:
        """Make a search ours: whether nobody else gave a sign of life after `seen`.

        From then on this store writes to it only while no other controller has claimed it.

        Args:
            controller: host:pid:token of this process.
            seen: its `heartbeat_at` when it was last looked at.
        """
        ours = self._claim(search_id, controller, seen)
        if ours:
            self._claims[search_id] = controller
        return ours

    @writes
    def _claim(
        self, session: Session, search_id: int, controller: str, seen: datetime | None
    ) -> bool:
        same = Search.heartbeat_at == seen if seen else Search.heartbeat_at.is_(None)
        claim = (
            sa.update(Search)
            .where(Search.id == search_id, same | (Search.controller == controller))
            .values(controller=controller, heartbeat_at=now())
            .values(state=State.RUNNING, error=None, finished_at=None)
            .returning(Search.id)
        )
        return session.scalar(claim) is not None

    @writes
    def beat(self, session: Session, search_id: int) -> bool:
        """Say that our controller is alive; whether the search is still ours."""
        return self._is_ours(session, search_id)

    def _is_ours(self, session: Session, search_id: int) -> bool:
        mine = sa.update(Search).where(
            Search.id == search_id, Search.controller == self._claims[search_id]
        )
        return session.scalar(mine.values(heartbeat_at=now()).returning(Search.id)) is not None

    def check(self, session: Session, search_id: int) -> None:
        """Refuse to write to a search that was ours and is not any more.

        Raises:
            SearchTakenError: another controller has claimed it since.
        """
        if search_id in self._claims and not self._is_ours(session, search_id):
            raise SearchTakenError(
                f"search {search_id} was taken over by another controller; this one stops"
            )


def changes(method: Method[Owner, P, Work]) -> Bound[Owner, P, Work]:
    """Make a method one writing transaction on the search whose id comes first: see `writes`. One
    that was claimed here must still be ours, or SearchTakenError is raised."""

    @wraps(method)
    def checked(self: Owner, session: Session, /, *args: P.args, **kwargs: P.kwargs) -> Work:
        self.check(session, cast(int, args[0]))
        return method(self, session, *args, **kwargs)

    return writes(checked)
