"""Prompts that learnt all labelled texts but a fold: writing and reading them."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from autoprompt.store.claims import Claims, changes
from autoprompt.store.database import reads
from autoprompt.store.reading import trial_of
from autoprompt.store.records import FoldRecord
from autoprompt.store.tables import FoldPrompt, Search, Trial, now


class Folds(Claims):
    """The store's prompts of folds."""

    @changes
    def record_fold(self, session: Session, /, search_id: int, number: int, **fields: Any) -> None:
        """A finalist's plan was carried out on all texts but a fold, to its end or to an error; one
        that is there already changes nothing.

        Args:
            fields: the columns of `FoldPrompt`.
        """
        trial = trial_of(session, search_id, number)
        if session.get(FoldPrompt, (trial.id, fields["repeat"], fields["fold"])) is None:
            session.add(FoldPrompt(trial_id=trial.id, finished_at=now(), **fields))

    @reads
    def fold_prompts(
        self, session: Session, search_id: int, numbers: list[int] | None = None
    ) -> list[FoldRecord]:
        """By trial, division and fold.

        Args:
            numbers: of these trials; None for all.
        """
        query = (
            sa.select(Trial.number, Trial.kind, Trial.plan, FoldPrompt)
            .join(FoldPrompt, FoldPrompt.trial_id == Trial.id)
            .where(Trial.search_id == search_id)
            .order_by(Trial.number, FoldPrompt.repeat, FoldPrompt.fold)
        )
        if numbers is not None:
            query = query.where(Trial.number.in_(numbers))
        own = set(FoldRecord.__annotations__) - {"number", "kind", "plan"}
        return [
            FoldRecord(number, kind, plan, **{name: getattr(row, name) for name in own})
            for number, kind, plan, row in session.execute(query)
        ]

    @reads
    def labelled(self, session: Session, search_id: int) -> list[int]:
        """What is right of every labelled text, those of the train split first: where prompts learn
        from folds of them."""
        query = sa.select(Search.train_labels, Search.validation_labels)
        train, validation = session.execute(query.where(Search.id == search_id)).one()
        return [*(train or ()), *validation]
