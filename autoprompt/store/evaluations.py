"""Writing what comes after the trials: finalists trained once more, texts that no trial saw."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from autoprompt.store.claims import Claims, changes
from autoprompt.store.reading import trial_of
from autoprompt.store.tables import Confirmation, Evaluation, now


class Evaluations(Claims):
    """The store's writes to confirmations and evaluations."""

    @changes
    def record_confirmation(
        self, session: Session, /, search_id: int, number: int, **fields: Any
    ) -> None:
        """A finalist's plan was carried out once more, to its end or to an error; a repeat that is
        there already changes nothing.

        Args:
            fields: the columns of `Confirmation`.
        """
        trial = trial_of(session, search_id, number)
        if session.get(Confirmation, (trial.id, fields["repeat"])) is None:
            session.add(Confirmation(trial_id=trial.id, finished_at=now(), **fields))

    def open_evaluation(self, search_id: int, **fields: Any) -> int:
        """Record that held-out texts are about to be scored; the opening's id.

        Args:
            fields: source, fingerprint, purpose and opened_by of `Evaluation`.
        """
        return self._add_evaluation(search_id, now(), fields)

    @changes
    def _add_evaluation(
        self, session: Session, search_id: int, opened_at: datetime, fields: dict[str, Any]
    ) -> int:
        """The moment tells one opening from another of the same texts."""
        known = session.scalar(
            sa.select(Evaluation).where(
                Evaluation.search_id == search_id,
                Evaluation.source == fields["source"],
                Evaluation.opened_at == opened_at,
            )
        )
        if known is None:
            known = Evaluation(search_id=search_id, opened_at=opened_at, **fields)
            session.add(known)
            session.flush()
        return known.id

    @changes
    def record_evaluation(
        self,
        session: Session,
        search_id: int,
        evaluation_id: int,
        result: dict[str, Any],
        predictions: bytes | None = None,
    ) -> None:
        """The scores of an opening, and what was answered, as safetensors."""
        session.execute(
            sa.update(Evaluation)
            .where(Evaluation.id == evaluation_id)
            .values(result=result, predictions=predictions)
        )
