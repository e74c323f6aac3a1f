"""Writing trials: begun, reported, ended."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from autoprompt.search_spaces.errors import StoreError
from autoprompt.store.claims import Claims, changes
from autoprompt.store.database import reads
from autoprompt.store.reading import trial_of
from autoprompt.store.states import State
from autoprompt.store.tables import Prompt, Rung, Trial, now


class Trials(Claims):
    """The store's writes to trials."""

    @changes
    def start_trial(self, session: Session, /, search_id: int, number: int, **fields: Any) -> None:
        """A trial was dispatched.

        Raises:
            StoreError: another plan has its number.
        """
        query = sa.select(Trial).where(Trial.search_id == search_id, Trial.number == number)
        known = session.scalar(query)
        if known is None:
            session.add(
                Trial(
                    search_id=search_id,
                    number=number,
                    state=State.RUNNING,
                    started_at=now(),
                    **fields,
                )
            )
        elif known.plan != fields["plan"]:
            raise StoreError(f"trial {number} of search {search_id} is there with another plan")

    def restart_trial(self, search_id: int, number: int, note: str) -> None:
        """A trial was dispatched again; its rungs so far are kept."""
        self._begin_attempt(search_id, number, note, self._attempts(search_id, number) + 1)

    @reads
    def _attempts(self, session: Session, search_id: int, number: int) -> int:
        return trial_of(session, search_id, number).attempts

    @changes
    def _begin_attempt(
        self, session: Session, search_id: int, number: int, note: str, attempt: int
    ) -> None:
        trial = trial_of(session, search_id, number)
        trial.state, trial.finished_at, trial.note = State.RUNNING, None, note
        trial.attempts = attempt

    @changes
    def record_rung(
        self,
        session: Session,
        search_id: int,
        number: int,
        rung: dict[str, Any],
        prompt: dict[str, Any],
        work: dict[str, Any],
    ) -> bool:
        """A trial reported. Its prompt is kept where this rung is its best so far of those that all
        validation texts judged, or before there is one; a rung that is there already changes
        nothing.

        Args:
            rung: the columns of `Rung`; without `judged`, all validation texts judged it.
            prompt: the columns of `Prompt`, tokens where they are known.
            work: worker, models_loaded and texts_encoded, for this rung alone.

        Returns:
            Whether its prompt is the one that is kept.
        """
        trial = trial_of(session, search_id, number)
        if session.get(Rung, (trial.id, rung["rung"])) is not None:
            return trial.prompt is not None and trial.prompt.rung == rung["rung"]
        session.add(Rung(trial_id=trial.id, reported_at=now(), **rung))
        _add_work(trial, rung["seconds"], work)
        known = (trial.score or 0.0, -(trial.loss or 0.0))
        part = rung.get("judged") is not None
        best = trial.score is None or (not part and (rung["score"], -rung["loss"]) > known)
        if best:
            if not part:
                trial.score, trial.loss = rung["score"], rung["loss"]
            session.merge(Prompt(trial_id=trial.id, rung=rung["rung"], **prompt))
        return best

    @changes
    def rank_trial(
        self,
        session: Session,
        search_id: int,
        number: int,
        score: float,
        loss: float,
        log_probs: bytes,
    ) -> None:
        """All validation texts judged the prompt that is kept of a trial which had no score."""
        trial = trial_of(session, search_id, number)
        assert trial.prompt is not None
        trial.score, trial.loss, trial.prompt.log_probs = score, loss, log_probs

    @changes
    def finish_trial(self, session: Session, search_id: int, number: int, state: State) -> None:
        """A trial ran to its end (complete) or was stopped at a rung (pruned)."""
        trial = trial_of(session, search_id, number)
        trial.state, trial.finished_at = state, now()

    @changes
    def fail_trial(
        self,
        session: Session,
        search_id: int,
        number: int,
        error: str,
        traceback: str | None = None,
        seconds: float = 0.0,
        work: dict[str, Any] | None = None,
    ) -> None:
        """A trial raised, or its worker died. The first reason is kept."""
        trial = trial_of(session, search_id, number)
        if trial.state == State.FAILED:
            return
        trial.state, trial.finished_at = State.FAILED, now()
        trial.error, trial.traceback = error, traceback
        _add_work(trial, seconds, work or {})


def _add_work(trial: Trial, seconds: float, work: dict[str, Any]) -> None:
    trial.seconds += seconds
    trial.worker = work.get("worker", trial.worker)
    trial.models_loaded += work.get("models_loaded", 0)
    trial.texts_encoded += work.get("texts_encoded", 0)
