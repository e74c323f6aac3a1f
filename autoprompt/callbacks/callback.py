"""What a callback hears of, and what it is told."""

from dataclasses import dataclass
from typing import Any

from autoprompt.store import SearchRecord, State, TrialRecord
from autoprompt.workers.direction import Direction


@dataclass(frozen=True)
class TrialStart:
    """A worker was handed a trial.

    Attributes:
        params: what its plan was drawn as, by the names that Optuna knows them by.
        again: whether it begins again, after its worker or its controller died, or a resume; rungs
            that it had reported are not told twice.
    """

    number: int
    kind: str
    params: dict[str, Any]
    again: bool = False


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

    @property
    def measured(self) -> dict[str, float]:
        """Its numbers by names for a tracker; those that a part of the texts judged have their own,
        as they do not rank beside the others."""
        part = "" if self.judged is None else "_on_part"
        measured = {
            f"score{part}": self.score,
            f"loss{part}": self.loss,
            "train_loss": self.train_loss,
            "seconds": self.seconds,
        }
        known = {} if self.gradient_norm is None else {"gradient_norm": self.gradient_norm}
        return measured | known


@dataclass(frozen=True)
class TrialEnd:
    """A trial is over.

    Attributes:
        state: complete, pruned or failed.
        score: of its best rung that all validation texts judged; None without one.
        seconds: in all.
        error: why it failed.
        prompt: that is kept of it, its best, as text; None where it reported nothing.
    """

    number: int
    kind: str
    state: State
    score: float | None
    seconds: float
    error: str | None = None
    prompt: str | None = None

    @classmethod
    def of(
        cls, trial: TrialRecord, state: State, direction: Direction, error: str | None = None
    ) -> "TrialEnd":
        """The end of a stored trial that no worker has any more."""
        score = trial.natural(direction).score
        return cls(trial.number, trial.kind, state, score, trial.seconds, error, trial.prompt)


@dataclass(frozen=True)
class Conclusion:
    """What a search found, when it has finished.

    Attributes:
        best: the number of the best trial.
        score: its score on validation, as the metric has it.
        text: its prompt as text; of a soft one, its name.
        prompt: the same as safetensors, one document.
        hard: the number of the best trial whose prompt is words; None where there is none.
        question: the whole question of that one, with the columns' names in braces.
        test: the scores on the test split, as `show --json` has them.
    """

    best: int
    score: float
    text: str
    prompt: bytes
    hard: int | None
    question: str | None
    test: dict[str, Any] | None

    @property
    def test_scores(self) -> dict[str, float]:
        """The scores on the test split with the ends of their intervals, by names for a tracker:
        test_best, test_best_low, test_best_high, and so on."""
        test = self.test or {}
        return {
            f"test_{name}{end}": test[name][key]
            for name in ("no_prompt", "best", "ensemble")
            if name in test
            for end, key in (("", "score"), ("_low", "low"), ("_high", "high"))
        }


class Callback:
    """A search's events, in their order; override those that matter."""

    def search_started(self, search: SearchRecord) -> None:
        """Its row is in the store, and trials are about to run; of a resumed one, again."""

    def trial_started(self, trial: TrialStart) -> None:
        """A worker was handed a trial."""

    def trial_reported(self, trial: TrialReport) -> None:
        """A rung was stored. One that a trial reports again, after its worker died, is not told
        twice."""

    def trial_ended(self, trial: TrialEnd) -> None:
        """A trial completed, was pruned, or failed."""

    def search_concluded(self, conclusion: Conclusion) -> None:
        """It is about to end as finished, with all its scores stored."""

    def search_ended(self, search: SearchRecord) -> None:
        """It finished, failed or was stopped: `search.state` says which."""
