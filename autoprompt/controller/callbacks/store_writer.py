"""Writes what becomes of a search's trials into the store, one transaction each, and says it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autoprompt.callbacks import Listeners, TrialEnd, TrialReport, TrialStart
from autoprompt.controller.dispatch import Ledger
from autoprompt.progress import SearchProgress
from autoprompt.store import State, Store, TrialRecord
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Failure, Report, Step

_RUNG = ("rung", "step", "score", "loss", "train_loss", "gradient_norm", "seconds", "judged")


@dataclass
class _Live:
    """What is stored of a trial that has not ended.

    Attributes:
        best: of the scores that all validation texts gave.
        prompt: that is kept of it, as text.
        note: why it begins again.
        part: the last score that a part of them gave, as it is shown.
    """

    kind: str
    rungs: set[int] = field(default_factory=set)
    best: float | None = None
    prompt: str | None = None
    seconds: float = 0.0
    note: str = ""
    part: str = "no score"


class StoreWriter(Ledger):
    """Runs in the controller's process, which is the only writer of the store.

    A trial that begins again, because its worker or its controller died, reports its first rungs
    once more; the store keeps those it has.

    Args:
        again: the trials of a resumed search that begin again.
        listeners: who is told of what was stored.
    """

    def __init__(
        self,
        store: Store,
        search_id: int,
        progress: SearchProgress,
        again: Sequence[TrialRecord] = (),
        listeners: Listeners | None = None,
    ) -> None:
        self._store = store
        self._search_id = search_id
        self._progress = progress
        self._listeners = listeners or Listeners((), progress)
        self._live: dict[int, _Live] = {}
        self._again = {trial.number: _known(trial) for trial in again}
        self._warned: set[str] = set()
        #: The step whose work was stored: done once, however many report it.
        self._counted: Step | None = None

    def began(self, trial: dict[str, Any]) -> None:
        number, kind = trial["number"], trial["plan"]["kind"]
        live = self._again.pop(number, None)
        start = TrialStart(number, kind, trial["params"], again=live is not None)
        if live is not None:
            self._store.restart_trial(self._search_id, number, live.note)
        else:
            live = _Live(kind)
            self._store.start_trial(
                self._search_id,
                number,
                kind=kind,
                plan=trial["plan"],
                params=trial["params"],
                distributions={
                    name: json.loads(distribution)
                    for name, distribution in trial["distributions"].items()
                },
            )
        self._live[number] = live
        self._listeners.tell("trial_started", start)

    def reported(self, report: Report, step: Step) -> None:
        self._warn(step)
        live = self._live[report.number]
        live.seconds += report.seconds
        if report.rung not in live.rungs:
            prompt = Prompt.from_bytes(report.prompt)
            kept = self._store.record_rung(
                self._search_id,
                report.number,
                {name: getattr(report, name) for name in _RUNG}
                | ({} if report.judged is None else {"log_probs": report.log_probs}),
                {
                    "digest": prompt.digest,
                    "text": prompt.text,
                    "content": report.prompt,
                    "log_probs": report.log_probs,
                    "tokens": report.tokens,
                },
                self._work(step),
            )
            live.rungs.add(report.rung)
            live.prompt = prompt.text if kept else live.prompt
            rung = {name: getattr(report, name) for name in ("number", *_RUNG)}
            rung["score"] = self._progress.direction.natural(report.score)
            self._listeners.tell(
                "trial_reported", TrialReport(kind=live.kind, prompt=prompt.text, **rung)
            )
        if report.judged is None:
            live.best = report.score if live.best is None else max(report.score, live.best)
            self._progress.trial_reported(report.number, report.score)
        else:
            live.part = f"{self._progress.shown(report.score)} on {report.judged} texts"
        if report.ended or report.stopped:
            state = State.COMPLETE if report.ended else State.PRUNED
            self._store.finish_trial(self._search_id, report.number, state)
            self._ended(report.number, state)

    def failed(self, failure: Failure, step: Step | None = None) -> None:
        work = {}
        if step is not None:
            self._warn(step)
            work = self._work(step)
        self._live[failure.number].seconds += failure.seconds
        self._store.fail_trial(
            self._search_id,
            failure.number,
            failure.error,
            failure.traceback,
            failure.seconds,
            work,
        )
        self._ended(failure.number, State.FAILED, failure.error)

    def begins_again(self, number: int, why: str) -> None:
        live = self._live.pop(number, None)
        if live is not None:
            live.note = why
            self._again[number] = live
            self._progress.say(f"trial {number:>3}  begins again; {why}")

    def ends(self, why: str) -> None:
        under_way = f"; the {len(self._live)} under way end at their next rung"
        counts = self._store.counts(self._search_id)
        ranked = counts[State.COMPLETE] + counts[State.PRUNED]
        waits = not ranked and not any(live.rungs for live in self._live.values())
        self._progress.say(
            f"no further trial is begun: {why}{under_way if self._live else ''}"
            f"{', none of which has reached its first' if waits and self._live else ''}"
        )

    def _work(self, step: Step) -> dict[str, Any]:
        work: dict[str, Any] = {"worker": step.worker}
        if step is not self._counted:
            self._counted = step
            work |= {
                "models_loaded": step.work.models_loaded,
                "texts_encoded": step.work.texts_encoded,
            }
        return work

    def _warn(self, step: Step) -> None:
        if step.slower and step.slower not in self._warned:
            self._warned.add(step.slower)
            self._progress.say(f"trials are slower than they might be: {step.slower}")

    def _ended(self, number: int, state: State, error: str | None = None) -> None:
        live = self._live.pop(number)
        best = None if live.best is None else self._progress.direction.natural(live.best)
        outcome = error or (live.part if best is None else f"{best:.4f}")
        self._progress.trial_ended(number, live.kind, state, outcome, live.seconds)
        end = TrialEnd(number, live.kind, state, best, live.seconds, error, live.prompt)
        self._listeners.tell("trial_ended", end)


def _known(trial: TrialRecord) -> _Live:
    rungs = {rung.rung for rung in trial.rungs}
    why = trial.note if trial.state == State.STOPPED and trial.note else "its controller died"
    note = f"resumed: {why}"
    return _Live(trial.kind, rungs, trial.score, trial.prompt, trial.seconds, note)
