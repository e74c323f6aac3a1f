"""Writes the repeats of finalists into the store, each when it has ended, and says it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autoprompt.controller.dispatch import Ledger
from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from autoprompt.workers.report import Failure, Report, Step


@dataclass(frozen=True)
class Repeat:
    """A finalist's plan carried out once more.

    Attributes:
        number: the finalist's.
        repeat: counted from 1.
    """

    number: int
    repeat: int
    plan: dict[str, Any]


@dataclass
class _Live:
    best: Report | None = None
    seconds: float = 0.0
    worker: str | None = None


class RepeatWriter(Ledger):
    """Keeps a repeat's best rung that all validation texts judged, as a trial's is.

    Args:
        repeats: by the numbers that they run under.
        advance: told of each that has ended.
    """

    def __init__(
        self,
        store: Store,
        search_id: int,
        progress: SearchProgress,
        repeats: Mapping[int, Repeat],
        advance: Callable[[int], None],
    ) -> None:
        self._store = store
        self._search_id = search_id
        self._progress = progress
        self._repeats = repeats
        self._advance = advance
        self._live: dict[int, _Live] = {}

    def began(self, trial: dict[str, Any]) -> None:
        self._live[trial["number"]] = _Live()

    def reported(self, report: Report, step: Step) -> None:
        live = self._live[report.number]
        live.seconds += report.seconds
        live.worker = step.worker
        best = live.best
        if report.judged is None and (best is None or _merit(report) > _merit(best)):
            live.best = report
        report.prompt = report.log_probs = b""
        if report.ended or report.stopped:
            self._keep(report.number, live.best, None)

    def failed(self, failure: Failure, step: Step | None = None) -> None:
        live = self._live[failure.number]
        live.seconds += failure.seconds
        live.worker = step.worker if step else live.worker
        self._keep(failure.number, None, failure.error)

    def begins_again(self, number: int, why: str) -> None:
        repeat = self._repeats[number]
        self._progress.say(f"trial {repeat.number:>3}  repeat {repeat.repeat}  begins again; {why}")

    def _keep(self, number: int, best: Report | None, error: str | None) -> None:
        live, repeat = self._live.pop(number), self._repeats[number]
        self._store.record_confirmation(
            self._search_id,
            repeat.number,
            repeat=repeat.repeat,
            seed=repeat.plan["seed"],
            score=best.score if best else None,
            loss=best.loss if best else None,
            seconds=live.seconds,
            worker=live.worker,
            error=error,
        )
        outcome = self._progress.shown(best.score) if best else f"failed: {error}"
        self._progress.say(
            f"trial {repeat.number:>3}  repeat {repeat.repeat}  {outcome}  {live.seconds:.0f} s"
        )
        self._advance(1)


def _merit(report: Report) -> tuple[float, float]:
    return report.score, -report.loss
