"""Writes what finalists come to that are carried out once more into the store, each when it has
ended, and says it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from safetensors.numpy import save

from autoprompt.controller.dispatch import Ledger
from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Failure, Report, Step


@dataclass(frozen=True)
class Repeat:
    """A finalist's plan carried out with other seeds.

    Attributes:
        number: the finalist's.
        repeat: counted from 1.
    """

    number: int
    repeat: int
    plan: dict[str, Any]

    def __str__(self) -> str:
        return f"trial {self.number:>3}  repeat {self.repeat}"

    def as_trial(self) -> dict[str, Any]:
        """What a worker is told of it, but its number."""
        return {"plan": self.plan}


@dataclass(frozen=True)
class Fold:
    """A finalist's plan carried out on all labelled texts but a fold.

    Attributes:
        number: the finalist's.
        repeat, fold: which division, and which of its folds is left out; 0 for none.
        place: among the folds of the job.
        left_out: places of the texts that are left out.
    """

    number: int
    repeat: int
    fold: int
    plan: dict[str, Any]
    place: int
    left_out: tuple[int, ...]

    @property
    def key(self) -> tuple[int, int, int]:
        """By which the store knows it."""
        return self.number, self.repeat, self.fold

    def __str__(self) -> str:
        which = f"fold {self.repeat}.{self.fold}" if self.fold else "all texts"
        return f"trial {self.number:>3}  {which}"

    def as_trial(self) -> dict[str, Any]:
        """What a worker is told of it, but its number."""
        return {"plan": self.plan, "fold": self.place}


Run = TypeVar("Run", Repeat, Fold)


@dataclass
class _Live:
    best: Report | None = None
    seconds: float = 0.0
    worker: str | None = None


class RerunWriter(Ledger, ABC, Generic[Run]):
    """Keeps a run's best rung that all validation texts judged, as a trial's is.

    Args:
        runs: by the numbers that they run under.
        advance: told of each that has ended.
    """

    def __init__(
        self,
        store: Store,
        search_id: int,
        progress: SearchProgress,
        runs: Mapping[int, Run],
        advance: Callable[[int], None],
    ) -> None:
        self.runs: Mapping[int, Run] = runs
        self._store = store
        self._search_id = search_id
        self._progress = progress
        self._advance = advance
        self._live: dict[int, _Live] = {}

    @abstractmethod
    def keep(self, run: Run, best: Report | None, **fields: Any) -> None:
        """Store a run.

        Args:
            fields: seconds, worker and error, and of its best rung score and loss.
        """

    def began(self, trial: dict[str, Any]) -> None:
        self._live[trial["number"]] = _Live()

    def reported(self, report: Report, step: Step) -> None:
        live = self._live[report.number]
        live.seconds += report.seconds
        live.worker = step.worker
        best = live.best
        if report.judged is None and (best is None or _merit(report) > _merit(best)):
            live.best = report
        if report.ended or report.stopped:
            self._ended(report.number, live.best, None)

    def failed(self, failure: Failure, step: Step | None = None) -> None:
        live = self._live[failure.number]
        live.seconds += failure.seconds
        live.worker = step.worker if step else live.worker
        self._ended(failure.number, None, failure.error)

    def begins_again(self, number: int, why: str) -> None:
        self._progress.say(f"{self.runs[number]}  begins again; {why}")

    def _ended(self, number: int, best: Report | None, error: str | None) -> None:
        live, run = self._live.pop(number), self.runs[number]
        self.keep(
            run,
            best,
            score=best.score if best else None,
            loss=best.loss if best else None,
            seconds=live.seconds,
            worker=live.worker,
            error=error,
        )
        outcome = self._progress.shown(best.score) if best else f"failed: {error}"
        self._progress.say(f"{run}  {outcome}  {live.seconds:.0f} s")
        self._advance(1)


class RepeatWriter(RerunWriter[Repeat]):
    """Keeps the scores of repeats."""

    def keep(self, run: Repeat, best: Report | None, **fields: Any) -> None:
        self._store.record_confirmation(
            self._search_id, run.number, repeat=run.repeat, seed=run.plan["seed"], **fields
        )


class FoldWriter(RerunWriter[Fold]):
    """Keeps the prompts of folds, and what they say of the texts left out."""

    def keep(self, run: Fold, best: Report | None, **fields: Any) -> None:
        places = np.array(run.left_out, dtype=np.int32)
        prompt: dict[str, Any] = {}
        if best is not None:
            read = Prompt.from_bytes(best.prompt)
            prompt = {"digest": read.digest, "text": read.text, "content": best.prompt}
            prompt["log_probs"] = best.log_probs
        if not run.fold:
            # Scores on what it learnt say nothing.
            fields |= {"score": None, "loss": None}
            prompt["log_probs"] = None
        self._store.record_fold(
            self._search_id,
            run.number,
            repeat=run.repeat,
            fold=run.fold,
            left_out=save({"places": places}),
            **prompt,
            **fields,
        )


def _merit(report: Report) -> tuple[float, float]:
    return report.score, -report.loss
