"""A stored search, made ready to go on: what it needs, and its trials that had not ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoprompt.callbacks import Listeners, TrialEnd
from autoprompt.config import SearchConfig
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.preparation.warm_start import with_earlier
from autoprompt.progress import SearchProgress
from autoprompt.search_model import identity_like
from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.errors import DataError, ModelError
from autoprompt.store import SearchRecord, State, Store, TrialRecord


def prepare_again(
    search: SearchRecord, db: str, workers: int | None, progress: SearchProgress
) -> Prepared:
    """A stored search, ready to go on with the same data and model.

    Args:
        db: URL of the store.
        workers: in the place of what its configuration says.

    Raises:
        BadInputError: the data or the model is gone, or no longer what it was.
    """
    config = SearchConfig.from_store(search.config, search.name).with_overrides(workers=workers)
    # What it took over when it began is pinned in its row and its space.
    prepared = with_earlier(prepare(config.replaced(warm_start=None), progress), db, progress)
    was, now = search.versions, prepared.versions
    path = config.data.path if isinstance(config.data.path, str) else config.data.path.train
    if was["data"] != now["data"]:
        raise DataError(
            f"{path}: the texts are not those that search {search.name!r} began with "
            f"(their hash was {was['data']} and is {now['data']}); put them back, or start anew"
        )
    model = identity_like(was["model"], prepared.job.model) or now["model"]
    if was["model"] != model:
        raise ModelError(
            f"model {config.model.path}: not the one that search {search.name!r} began with "
            f"(its hash was {was['model']} and is {model}); put it back, or start anew"
        )
    changed = [
        key for key in sorted(now) if key not in ("data", "model") and was.get(key) != now[key]
    ]
    if changed:
        progress.say(f"since the search began, these have other versions: {', '.join(changed)}")
    return prepared


@dataclass(frozen=True)
class Past:
    """The trials of a search that is resumed.

    Attributes:
        ended: those that count on the budget.
        again: those that begin again, under their numbers; the rungs they reported are kept.
        log_probs: by trial and rung, predictions of those that a part of the texts judged.
    """

    ended: tuple[TrialRecord, ...] = ()
    again: tuple[TrialRecord, ...] = ()
    log_probs: Mapping[tuple[int, int], bytes] = field(default_factory=dict)

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        return (*self.ended, *self.again)


def settle(
    store: Store,
    search: SearchRecord,
    attempts: int,
    progress: SearchProgress,
    listeners: Listeners | None = None,
) -> Past:
    """Close or requeue every trial that had not ended, and say which and why.

    Args:
        attempts: how often a trial may be begun, if each time its worker or controller died.
        listeners: told of those that are closed.
    """
    listeners = listeners or Listeners((), progress)
    for trial in store.trials(search.id):
        if trial.ended:
            continue
        what = f"trial {trial.number:>3}  {trial.kind:<4}"
        if trial.rungs and trial.rungs[-1].step >= plan_from_dict(trial.plan).budget:
            store.finish_trial(search.id, trial.number, State.COMPLETE)
            listeners.tell("trial_ended", TrialEnd.of(trial, State.COMPLETE, search.direction))
            progress.say(f"{what}  closed as complete: it had reported its last rung")
        elif trial.state == State.RUNNING and trial.attempts >= attempts:
            error = f"given up after {trial.attempts} attempts: the last one's controller died"
            store.fail_trial(search.id, trial.number, error)
            end = TrialEnd.of(trial, State.FAILED, search.direction, error)
            listeners.tell("trial_ended", end)
            progress.say(f"{what}  {error}")
        else:
            stopped = trial.state == State.STOPPED
            why = "the search was stopped" if stopped else "its controller died"
            kept = f"; its {len(trial.rungs)} reported rungs are kept" if trial.rungs else ""
            progress.say(f"{what}  begins again: {why} while it ran{kept}")
    trials = store.trials(search.id)
    return Past(
        ended=tuple(trial for trial in trials if trial.ended),
        again=tuple(trial for trial in trials if not trial.ended),
        log_probs=store.block_log_probs(search.id),
    )
