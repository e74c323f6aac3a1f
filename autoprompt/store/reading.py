"""What the store is asked."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from autoprompt.search_spaces.errors import SearchNotFoundError
from autoprompt.store.database import Database, reads
from autoprompt.store.records import (
    ConfirmationRecord,
    EvaluationRecord,
    PromptRecord,
    RungRecord,
    SearchRecord,
    SearchSummary,
    TrialRecord,
)
from autoprompt.store.states import State
from autoprompt.store.tables import Confirmation, Evaluation, Prompt, Rung, Search, Trial
from autoprompt.versions import owner

#: What a trial may be.
STATES = (State.RUNNING, State.COMPLETE, State.PRUNED, State.FAILED, State.STOPPED)

#: Trials fetched at a time where all of them are wanted.
PAGE = 1000

#: Ids are 32-bit integers in the database.
_LARGEST_ID = 2**31 - 1


class Reader:
    """The reading half of the store: each method is one transaction, and sees one moment."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # Searches

    @reads
    def find(self, session: Session, reference: str) -> SearchRecord:
        """A search by id, name, or `latest`: the newest that the caller began, or that is nobody's.

        Raises:
            SearchNotFoundError: there is none.
        """
        query, caller = sa.select(Search).order_by(Search.id.desc()).limit(1), owner()
        if reference.isdecimal():
            query = query.where(Search.id == min(int(reference), _LARGEST_ID))
        elif reference == "latest":
            query = query.where(sa.or_(Search.owner == caller, Search.owner.is_(None)))
        else:
            query = query.where(Search.name == reference.replace("\0", ""))
        search = session.scalar(query)
        if search is None:
            what = f"of {caller}'s" if reference == "latest" else f"{reference!r}"
            raise SearchNotFoundError(
                f"no search {what} in {self.database.shown}; `autoprompt list` shows what there is"
            )
        return search_record(search)

    @reads
    def searches(self, session: Session) -> list[SearchRecord]:
        """Every search, newest first."""
        rows = session.scalars(sa.select(Search).order_by(Search.id.desc()))
        return [search_record(search) for search in rows]

    @reads
    def summaries(self, session: Session) -> list[SearchSummary]:
        """Every search, newest first, with its trials by state and its best score."""
        counts: dict[int, dict[str, int]] = {}
        best: dict[int, float] = {}
        for search_id, state, count, score in session.execute(_tally()):
            counts.setdefault(search_id, {})[state] = count
            if state != State.FAILED and score is not None:
                best[search_id] = max(score, best.get(search_id, score))
        return [
            SearchSummary(
                search_record(search),
                _by_state(counts.get(search.id, {})),
                best.get(search.id),
            )
            for search in session.scalars(sa.select(Search).order_by(Search.id.desc()))
        ]

    @reads
    def name_is_taken(self, session: Session, name: str) -> bool:
        """Whether a search of that name is here."""
        return session.scalar(sa.select(Search.id).where(Search.name == name)) is not None

    @reads
    def validation_labels(self, session: Session, search_id: int) -> list[int]:
        """The right labels of the validation texts, [B]."""
        query = sa.select(Search.validation_labels).where(Search.id == search_id)
        return list(session.scalars(query).one())

    @reads
    def footprint(self, session: Session, search_id: int) -> bytes | None:
        """What is kept of a search's texts, or None of a search of an older version."""
        query = sa.select(Search.footprint).where(Search.id == search_id)
        return session.scalars(query).one()

    # Trials

    def trials(self, search_id: int) -> list[TrialRecord]:
        """Every trial of a search with its rungs, in the order of their numbers."""
        return list(self.each_trial(search_id))

    def each_trial(self, search_id: int) -> Iterator[TrialRecord]:
        """The same, a page of them in memory at a time; each page is a transaction of its own."""
        page = self.trial_page(search_id, -1)
        while page:
            yield from page
            page = self.trial_page(search_id, page[-1].number)

    @reads
    def trial_page(self, session: Session, search_id: int, after: int) -> list[TrialRecord]:
        """The trials whose numbers follow `after`, at most PAGE of them."""
        query = _trials_of(search_id).where(Trial.number > after)
        rows = session.scalars(query.order_by(Trial.number).limit(PAGE))
        return [trial_record(trial) for trial in rows]

    @reads
    def newest_trials(self, session: Session, search_id: int, limit: int) -> list[TrialRecord]:
        """The trials of the highest numbers, at most `limit`, in the order of their numbers."""
        query = _trials_of(search_id).order_by(Trial.number.desc()).limit(limit)
        return [trial_record(trial) for trial in session.scalars(query)][::-1]

    @reads
    def leaderboard(
        self, session: Session, search_id: int, limit: int | None = None
    ) -> list[TrialRecord]:
        """The trials that have a score and did not fail, best first: by score, then loss, then
        number.

        Args:
            limit: at most so many.
        """
        query = _best_first(_trials_of(search_id), search_id).limit(limit)
        return [trial_record(trial) for trial in session.scalars(query)]

    @reads
    def best_by_tokens(self, session: Session, search_id: int) -> list[TrialRecord]:
        """The best trial of each number of tokens that prompts cost a text, fewest tokens first."""
        order = (Trial.score.desc(), Trial.loss, Trial.number)
        place = sa.func.row_number().over(partition_by=Prompt.tokens, order_by=order)
        query = sa.select(Trial.id.label("id"), Prompt.tokens, place.label("place"))
        query = query.join(Prompt, Prompt.trial_id == Trial.id).where(Prompt.tokens.is_not(None))
        ranked = _best_first(query, search_id).order_by(None).subquery()
        best = _trials_of(search_id).join(ranked, ranked.c.id == Trial.id)
        rows = session.scalars(best.where(ranked.c.place == 1).order_by(ranked.c.tokens))
        return [trial_record(trial) for trial in rows]

    @reads
    def counts(self, session: Session, search_id: int) -> dict[str, int]:
        """How many trials are in each state."""
        rows = session.execute(_tally().where(Trial.search_id == search_id))
        return _by_state({state: count for _, state, count, _ in rows})

    @reads
    def best_score(self, session: Session, search_id: int) -> float | None:
        """The best validation score of a search's trials so far."""
        return session.scalar(_best_first(sa.select(Trial.score), search_id).limit(1))

    # Prompts

    @reads
    def prompts(
        self,
        session: Session,
        search_id: int,
        numbers: list[int] | None = None,
        limit: int | None = None,
    ) -> list[PromptRecord]:
        """The prompts of a search's trials, best first: by score, then loss, then number.

        Args:
            numbers: only these trials.
            limit: at most so many.
        """
        query = sa.select(Trial, Prompt).join(Prompt, Prompt.trial_id == Trial.id)
        query = _best_first(query, search_id).limit(limit)
        if numbers is not None:
            query = query.where(Trial.number.in_(numbers))
        return [
            _prompt_record(trial, prompt, trial.score, trial.loss)
            for trial, prompt in session.execute(query)
        ]

    @reads
    def unranked_prompts(self, session: Session, search_id: int, limit: int) -> list[PromptRecord]:
        """The prompts of trials that ended without failing, and that a part of the validation texts
        alone judged: those of most texts first, then by score and loss on them.

        Args:
            limit: at most so many.
        """
        same_rung = sa.and_(Rung.trial_id == Prompt.trial_id, Rung.rung == Prompt.rung)
        query = (
            sa.select(Trial, Rung, Prompt)
            .join(Prompt, Prompt.trial_id == Trial.id)
            .join(Rung, same_rung)
            .where(
                Trial.search_id == search_id,
                Trial.score.is_(None),
                Trial.state.in_((State.COMPLETE, State.PRUNED)),
            )
            .order_by(Rung.judged.desc(), Rung.score.desc(), Rung.loss, Trial.number)
            .limit(limit)
        )
        return [
            _prompt_record(trial, prompt, rung.score, rung.loss)
            for trial, rung, prompt in session.execute(query)
        ]

    @reads
    def block_log_probs(self, session: Session, search_id: int) -> dict[tuple[int, int], bytes]:
        """By trial and rung, the predictions of rungs that a part of the validation texts
        judged."""
        query = (
            sa.select(Trial.number, Rung.rung, Rung.log_probs)
            .join(Rung, Rung.trial_id == Trial.id)
            .where(Trial.search_id == search_id, Rung.log_probs.is_not(None))
        )
        rows = session.execute(query)
        return {(number, rung): content for number, rung, content in rows if content is not None}

    # Finalists once more, and texts that no trial saw

    @reads
    def confirmations(self, session: Session, search_id: int) -> list[ConfirmationRecord]:
        """Every repeat of a search's finalists, by trial and repeat."""
        query = (
            sa.select(Trial.number, Confirmation)
            .join(Trial, Confirmation.trial_id == Trial.id)
            .where(Trial.search_id == search_id)
            .order_by(Trial.number, Confirmation.repeat)
        )
        plain = set(ConfirmationRecord.__annotations__) - {"number"}
        return [
            ConfirmationRecord(number, **{name: getattr(row, name) for name in plain})
            for number, row in session.execute(query)
        ]

    @reads
    def evaluations(
        self, session: Session, search_id: int | None = None, *, fingerprint: str | None = None
    ) -> list[EvaluationRecord]:
        """Openings in the order they happened: of one search, of the same texts, or both."""
        query = (
            sa.select(Search.name, Evaluation)
            .join(Search, Evaluation.search_id == Search.id)
            .order_by(Evaluation.id)
        )
        if search_id is not None:
            query = query.where(Evaluation.search_id == search_id)
        if fingerprint is not None:
            query = query.where(Evaluation.fingerprint == fingerprint)
        plain = set(EvaluationRecord.__annotations__) - {"search"}
        return [
            EvaluationRecord(search=name, **{column: getattr(row, column) for column in plain})
            for name, row in session.execute(query)
        ]

    @reads
    def predictions(self, session: Session, evaluation_id: int) -> bytes | None:
        """What was answered at an opening, as safetensors; None before it is known, and of an older
        version's."""
        query = sa.select(Evaluation.predictions).where(Evaluation.id == evaluation_id)
        return session.scalars(query).one()


def trial_of(session: Session, search_id: int, number: int) -> Trial:
    """A search's trial, as a row to change."""
    query = sa.select(Trial).where(Trial.search_id == search_id, Trial.number == number)
    return session.scalars(query).one()


def _trials_of(search_id: int) -> sa.Select[Trial]:
    return (
        sa.select(Trial)
        .where(Trial.search_id == search_id)
        .options(
            selectinload(Trial.rungs),
            joinedload(Trial.prompt).load_only(Prompt.text, Prompt.tokens),
        )
    )


def _best_first(query: Any, search_id: int) -> Any:
    """As the index ix_trials_leaderboard has them: read from its start, no row more than asked."""
    return query.where(
        Trial.search_id == search_id, Trial.score.is_not(None), Trial.state != State.FAILED
    ).order_by(Trial.score.desc(), Trial.loss, Trial.number)


def _tally() -> sa.Select[int, str, int, float | None]:
    """Search, state, how many trials, their best score: answered from one index."""
    return sa.select(
        Trial.search_id, Trial.state, sa.func.count(), sa.func.max(Trial.score)
    ).group_by(Trial.search_id, Trial.state)


def _by_state(counts: dict[str, int]) -> dict[str, int]:
    return dict.fromkeys(STATES, 0) | counts


def search_record(search: Search) -> SearchRecord:
    fields = {name: getattr(search, name) for name in SearchRecord.__annotations__}
    return SearchRecord(**fields | {"config": _current(search.config)})


def _current(config: dict[str, Any]) -> dict[str, Any]:
    """A stored configuration as this version says it: before templates had columns of any name,
    other braces than {text} meant nothing; and all validation texts judged every rung."""
    before = {"task": {"columns": ["text"]}, "search": {"judging": "all"}}
    return config | {
        part: settings | config[part] for part, settings in before.items() if part in config
    }


def _prompt_record(
    trial: Trial, prompt: Prompt, score: float | None, loss: float | None
) -> PromptRecord:
    return PromptRecord(
        number=trial.number,
        kind=trial.kind,
        score=score if score is not None else 0.0,
        loss=loss if loss is not None else 0.0,
        digest=prompt.digest,
        text=prompt.text,
        content=prompt.content,
        log_probs=prompt.log_probs,
        plan=trial.plan,
    )


def trial_record(trial: Trial) -> TrialRecord:
    plain = set(TrialRecord.__annotations__) - {"prompt", "tokens", "rungs"}
    rungs = [
        RungRecord(**{name: getattr(rung, name) for name in RungRecord.__annotations__})
        for rung in trial.rungs
    ]
    return TrialRecord(
        **{name: getattr(trial, name) for name in plain},
        prompt=trial.prompt.text if trial.prompt else None,
        tokens=trial.prompt.tokens if trial.prompt else None,
        rungs=rungs,
    )
