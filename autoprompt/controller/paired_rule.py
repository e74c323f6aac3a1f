"""A stopping rule held back: where a part of the validation texts judged a rung, only a trial that
is clearly worse than the best on the same texts is stopped there."""

from collections.abc import Mapping, Sequence

from autoprompt.controller.stopping_rule import StoppingRule
from autoprompt.statistics.paired_test import PairedTest
from autoprompt.store import TrialRecord
from autoprompt.workers.blocks import Blocks
from autoprompt.workers.report import Report


class PairedRule(StoppingRule):
    """Asks another rule, which ranks trials by their scores. What it would stop on a part of the
    texts goes on all the same, unless a paired test finds it worse than the best trial of its kind
    at that rung so far: McNemar's where right labels are counted, else the paired bootstrap; 5%,
    one side.

    A trial that ends by itself before its last rung was judged there by all texts, the others by a
    part: it is not ranked with them.
    """

    def __init__(self, rule: StoppingRule, blocks: Blocks, test: PairedTest) -> None:
        self._rule = rule
        self._blocks = blocks
        self._test = test
        self._kinds: dict[int, str] = {}
        #: Of each kind at each rung, the best score so far and its predictions.
        self._best: dict[tuple[str, int], tuple[float, bytes]] = {}

    def enter(self, number: int, kind: str) -> None:
        self._kinds[number] = kind
        self._rule.enter(number, kind)

    def stops(self, number: int, rung: int, score: float) -> bool:
        return self._rule.stops(number, rung, score)

    def leave(self, number: int) -> None:
        self._kinds.pop(number, None)
        self._rule.leave(number)

    def ends(self, report: Report) -> bool:
        if report.judged != self._blocks.at(report.rung):
            return False
        stops = self.stops(report.number, report.rung, report.score)
        if report.judged is None:
            return stops
        best = self._best.get((self._kinds[report.number], report.rung))
        self._met(report.number, report.rung, report.score, report.log_probs)
        if not stops or best is None:
            return stops
        return self._test.clearly_worse(report.log_probs, best[1])

    def replay(
        self, past: Sequence[TrialRecord], log_probs: Mapping[tuple[int, int], bytes] | None = None
    ) -> StoppingRule:
        known = log_probs or {}
        for trial in past:
            if trial.ended:
                self.enter(trial.number, trial.kind)
                for rung in trial.rungs:
                    if rung.judged != self._blocks.at(rung.rung):
                        continue
                    self.stops(trial.number, rung.rung, rung.score)
                    if rung.judged is not None:
                        stored = known[trial.number, rung.rung]
                        self._met(trial.number, rung.rung, rung.score, stored)
                self.leave(trial.number)
        return self

    def _met(self, number: int, rung: int, score: float, log_probs: bytes) -> None:
        key = self._kinds[number], rung
        if key not in self._best or score > self._best[key][0]:
            self._best[key] = score, log_probs
