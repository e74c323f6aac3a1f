"""Judging by blocks against judging every rung by all validation texts: how many texts are judged,
and whether the same prompt is best. Replayed from stored predictions through the search's own
blocks, stopping rule and paired test.

    python -m benchmarks.judging [--predictions FILE] [--trials 32] [--seeds 10]

FILE is of `benchmarks.rung_predictions`, what real prompts said, or of
`benchmarks.bag_predictions`, which stand for them. Without one, predictions are SIMULATED: see
`simulated`.
"""

import argparse
import json
import statistics
from dataclasses import asdict, dataclass

import numpy as np
import scipy

from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.paired_rule import PairedRule
from autoprompt.controller.stopping_rule import Ladder, StoppingRule
from autoprompt.search_spec import SearchSpec
from autoprompt.statistics.paired_test import PairedTest
from autoprompt.workers.answers import answers_of
from autoprompt.workers.blocks import Blocks, blocks
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.report import Report
from benchmarks.curves import Curves
from benchmarks.rung_predictions import VALIDATION_TEXTS, Predictions
from benchmarks.setting import TASK

#: Of what decides whether a simulated prompt is right: the part that is the text's own, the same
#: for all prompts, and of the rest the part that a prompt keeps from rung to rung. Two prompts that
#: are right on 86% then agree on 90% of the texts.
SHARED, KEPT = 0.85, 0.7

#: How far a simulated trial's accuracy lies from the recorded one's, at all rungs and at each.
TRIAL_NOISE, RUNG_NOISE = 0.01, 0.003

ANSWERS, METRIC, SPEC = answers_of(TASK), METRICS["accuracy"], SearchSpec()


@dataclass(frozen=True)
class Outcome:
    """One search.

    Attributes:
        judgements: texts judged, once for each rung that they judged.
        rungs: how many were reported.
        best: trial and rung of the best prompt.
        score: that prompt's on all texts.
    """

    judgements: int
    rungs: int
    best: tuple[int, int]
    score: float


def simulated(trials: int, seed: int) -> Predictions:
    """Made-up predictions. Each trial climbs like a soft trial that was recorded on the real model
    (`curves.json`), by the accuracy that its loss at each rung stands for: a score on the 256 texts
    of then is itself chance to 0.02. It is right on a text where the text's difficulty, one for all
    prompts, and its own luck allow."""
    rng = np.random.default_rng(seed)
    soft = [trial["rungs"] for trial in Curves.read().trials if trial["kind"] == "soft"]
    losses = np.array([[rung["loss"] for rung in rungs] for rungs in soft])
    scores = np.array([[rung["score"] for rung in rungs] for rungs in soft])
    slope, start = np.polyfit(losses.ravel(), scores.ravel(), 1)
    curves = (start + slope * losses)[rng.integers(0, len(soft), trials)]
    noise = rng.normal(0, TRIAL_NOISE, (trials, 1)) + rng.normal(0, RUNG_NOISE, curves.shape)
    accuracy = np.clip(curves + noise, 0.5, 0.99)
    labels = np.arange(VALIDATION_TEXTS) % 2
    rungs = accuracy.shape[1]
    text = rng.normal(size=(1, 1, len(labels)))
    prompt = rng.normal(size=(trials, 1, len(labels)))
    moment = rng.normal(size=(trials, rungs, len(labels)))
    luck = np.sqrt(KEPT) * prompt + np.sqrt(1 - KEPT) * moment
    difficulty = np.sqrt(SHARED) * text + np.sqrt(1 - SHARED) * luck
    right = difficulty < scipy.stats.norm.ppf(accuracy)[..., None]
    says = np.where(right, labels, 1 - labels)
    probabilities = np.where(np.arange(2) == says[..., None], 0.9, 0.1)
    steps = [int(60 * part) for part in SPEC.fractions]
    return Predictions(np.log(probabilities).astype(np.float32), labels.tolist(), steps)


class Replay:
    """Searches over recorded trials."""

    def __init__(self, recorded: Predictions) -> None:
        self._labels = np.array(recorded.labels)
        self._log_probs = recorded.log_probs
        self._whole = np.array(
            [[self._score(rung) for rung in trial] for trial in recorded.log_probs]
        )

    def _score(self, log_probs: np.ndarray, places: np.ndarray | None = None) -> float:
        labels = self._labels if places is None else self._labels[places]
        return METRIC.score(labels, METRIC.predictions(log_probs, ANSWERS.decided))

    def search(self, order: list[int], parts: Blocks) -> Outcome:
        """Trials in this order, one after another."""
        rule = self._rule(parts)
        judgements = rungs = 0
        reached: dict[tuple[int, int], float] = {}
        for number in order:
            rule.enter(number, "soft")
            for rung in range(1, self._whole.shape[1] + 1):
                report = self._report(number, rung, parts)
                judgements += report.judged or len(self._labels)
                rungs += 1
                if report.judged is None:
                    reached[number, rung] = report.score
                if rule.ends(report):
                    break
            rule.leave(number)
        # As the store has it: the best score, then the trial's number, the first rung of it.
        best = min(reached, key=lambda key: (-reached[key], key))
        return Outcome(judgements, rungs, best, reached[best])

    def _rule(self, parts: Blocks) -> StoppingRule:
        rule = AshaByKind(Ladder(("soft",), self._whole.shape[1], SPEC.reduction_factor))
        if not parts.sizes:
            return rule
        ordered = self._labels[list(parts.order)]
        test = PairedTest(ordered, METRIC, ANSWERS.decided, ANSWERS.unpacked)
        return PairedRule(rule, parts, test)

    def _report(self, number: int, rung: int, parts: Blocks) -> Report:
        log_probs, count = self._log_probs[number, rung - 1], parts.at(rung)
        score, packed = self._whole[number, rung - 1], b""
        if count is not None:
            places = np.array(parts.order[:count])
            log_probs = log_probs[places]
            score, packed = self._score(log_probs, places), ANSWERS.packed(log_probs)
        return Report(
            number=number, rung=rung, step=rung, score=float(score), loss=0.0, train_loss=0.0,
            gradient_norm=None, prompt=b"", log_probs=packed, seconds=0.0, examples=0,
            ended=rung == self._whole.shape[1], judged=count,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", help="a file of benchmarks.rung_predictions")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        recorded = (
            Predictions.read(given.predictions)
            if given.predictions
            else simulated(given.trials, seed)
        )
        replay = Replay(recorded)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(recorded.log_probs))[: given.trials].tolist()
        parts = blocks(recorded.labels, "auto", len(recorded.steps), SPEC.reduction_factor, seed)
        whole = replay.search(order, Blocks())
        part = replay.search(order, parts)
        rows.append((whole, part))
        print(json.dumps({"seed": seed, "all": asdict(whole), "blocks": asdict(part)}))
    summary = {
        "predictions": given.predictions or "SIMULATED",
        "fewer": statistics.fmean(whole.judgements / part.judgements for whole, part in rows),
        "rungs": statistics.fmean(part.rungs / whole.rungs for whole, part in rows),
        "same_prompt": sum(whole.best == part.best for whole, part in rows),
        "same_trial": sum(whole.best[0] == part.best[0] for whole, part in rows),
        "as_good": sum(part.score >= whole.score for whole, part in rows),
        "lost": statistics.fmean(whole.score - part.score for whole, part in rows),
        "seeds": len(rows),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
