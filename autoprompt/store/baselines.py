"""What stands beside a search's prompts: writing and reading it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from autoprompt.store.claims import Claims, changes
from autoprompt.store.database import reads
from autoprompt.store.records import BaselineRecord
from autoprompt.store.tables import Baseline, now


class Baselines(Claims):
    """The store's baselines."""

    @changes
    def record_baseline(
        self, session: Session, /, search_id: int, name: str, **fields: Any
    ) -> None:
        """A baseline was fitted and judged, or failed; what was known of it is replaced.

        Args:
            fields: the columns of `Baseline`.
        """
        session.merge(Baseline(search_id=search_id, name=name, finished_at=now(), **fields))

    @reads
    def baselines(self, session: Session, search_id: int) -> list[BaselineRecord]:
        """Of a search, in the order in which they were stored."""
        query = sa.select(Baseline).where(Baseline.search_id == search_id)
        rows = session.scalars(query.order_by(Baseline.finished_at, Baseline.name))
        names = BaselineRecord.__annotations__
        return [BaselineRecord(**{name: getattr(row, name) for name in names}) for row in rows]
