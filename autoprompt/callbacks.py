"""What a user's own code may listen to while a search runs.

    class Notify(autoprompt.Callback):
        def trial_ended(self, trial):
            print(trial.number, trial.state, trial.score)

    autoprompt.search("search.yaml", callbacks=[Notify()])

A callback runs in the controller's process, after what it hears of was stored. It cannot change a
search, nor end one: what it raises is logged once, and the search goes on.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry
from autoprompt.store import SearchRecord, State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialReport:
    """A trial reached a rung.

    Attributes:
        kind: of its prompt.
        rung: counted from 1.
        step: steps or rounds done.
        score: the search's metric on validation, as the metric has it: of a log loss, less is
            better.
        loss, train_loss: mean negative log-probability of the right labels on validation, and over
            the training batches since the last rung, in nats.
        gradient_norm: of the last step's gradient by the prompt's embeddings.
        judged: how many validation texts judged it; None for all of them.
        seconds: since the last rung.
        prompt: as text; of a soft one, its name.
    """

    number: int
    kind: str
    rung: int
    step: int
    score: float
    loss: float
    train_loss: float
    gradient_norm: float | None
    seconds: float
    prompt: str
    judged: int | None = None


@dataclass(frozen=True)
class TrialEnd:
    """A trial is over.

    Attributes:
        state: complete, pruned or failed.
        score: of its best rung that all validation texts judged; None without one.
        seconds: in all.
        error: why it failed.
    """

    number: int
    kind: str
    state: State
    score: float | None
    seconds: float
    error: str | None = None


class Callback:
    """A search's events, in their order; override those that matter."""

    def search_started(self, search: SearchRecord) -> None:
        """Its row is in the store, and trials are about to run; of a resumed one, again."""

    def trial_reported(self, trial: TrialReport) -> None:
        """A rung was stored. One that a trial reports again, after its worker died, is not told
        twice."""

    def trial_ended(self, trial: TrialEnd) -> None:
        """A trial completed, was pruned, or failed."""

    def search_ended(self, search: SearchRecord) -> None:
        """It finished, failed or was stopped: `search.state` says which."""


class LogEvents(Callback):
    """Events as lines of the logger `autoprompt.callbacks`, for those who collect logs."""

    def search_started(self, search: SearchRecord) -> None:
        log.info("search %s (%s) started", search.id, search.name)

    def trial_reported(self, trial: TrialReport) -> None:
        log.info("trial %d, rung %d: %.4f", trial.number, trial.rung, trial.score)

    def trial_ended(self, trial: TrialEnd) -> None:
        log.info("trial %d %s: %s", trial.number, trial.state, trial.error or trial.score)

    def search_ended(self, search: SearchRecord) -> None:
        log.info("search %s (%s) %s", search.id, search.name, search.state)


#: What `callbacks:` may name; each is called without arguments, and makes a callback.
CALLBACKS: Registry[Callable[[], Callback]] = Registry(
    "callback", {"log": LogEvents}, group="autoprompt.callbacks"
)


def named_callbacks(names: Sequence[str], source: str) -> list[Callback]:
    """The callbacks that a configuration names.

    Raises:
        ConfigError: there is none of a name, or it could not be made.
    """
    made = []
    for name in names:
        try:
            made.append(CALLBACKS[name]())
        except ConfigError as error:
            raise ConfigError(f"{source}: callbacks: {error}") from error
        except Exception as error:  # a user's code may raise anything
            raise ConfigError(
                f"{source}: callbacks: {name} could not be made: {type(error).__name__}: {error}"
            ) from error
    return made


class Listeners:
    """Calls every callback; one that raises is named once, and the search goes on."""

    def __init__(self, callbacks: Sequence[Callback], progress: SearchProgress) -> None:
        self._callbacks = tuple(callbacks)
        self._progress = progress
        self._named: set[int] = set()

    def tell(self, event: str, argument: Any) -> None:
        """Call each one's method of that name."""
        for position, callback in enumerate(self._callbacks):
            try:
                getattr(callback, event)(argument)
            except Exception as error:
                if position not in self._named:
                    self._named.add(position)
                    name = type(callback).__name__
                    log.exception("callback %s raised in %s", name, event)
                    self._progress.say(
                        f"callback {name} raised in {event}: {type(error).__name__}: {error}; "
                        "the search goes on, and does not say so again"
                    )
