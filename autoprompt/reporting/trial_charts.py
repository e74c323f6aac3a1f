"""The charts of a report: each a property that makes a `Scatter` of trials or of their rungs."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from autoprompt.reporting.charts import Axis, Point, Scatter
from autoprompt.store import TrialRecord
from autoprompt.workers.direction import Direction


class TrialCharts:
    """Charts of a search's trials, at least one of which has a score.

    Args:
        trials: in the order of their numbers, their scores as the metric has them.
        front: of score against tokens, as `evaluation.pareto` has it.
    """

    def __init__(
        self,
        trials: Sequence[TrialRecord],
        metric: str,
        direction: Direction,
        front: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._trials = trials
        self._metric = metric
        self._direction = direction
        self._front = front
        self._scored = [trial for trial in trials if trial.score is not None]

    @cached_property
    def history(self) -> Scatter:
        """Validation score by trial number, with the best so far."""
        line: list[tuple[float, float]] = []
        for trial in self._scored:
            assert trial.score is not None
            best = self._direction.best([trial.score, *(score for _, score in line[-1:])])
            if not line or best != line[-1][1]:
                line.append((trial.number, best))
        line.append((self._trials[-1].number, line[-1][1]))
        points = [_point(trial, trial.number, trial.score) for trial in self._scored]
        return Scatter(self._numbers, self._scores, points, line)

    @cached_property
    def by_length(self) -> Scatter:
        """Validation score by the prompt's length, where it has tokens of its own."""
        found = [(trial, _length(trial)) for trial in self._scored]
        points = [_point(trial, length, trial.score) for trial, length in found if length]
        lengths = [length for _, length in found if length] or [1]
        return Scatter(Axis.over("tokens in the prompt", lengths, log=True), self._scores, points)

    @cached_property
    def by_tokens(self) -> Scatter | None:
        """Validation score by what a prompt costs each text, with the front of what is worth it."""
        known = [(trial, trial.tokens) for trial in self._scored if trial.tokens is not None]
        if not known:
            return None
        points = [_point(trial, tokens, trial.score) for trial, tokens in known]
        line = [(row["tokens"], row["score"]) for row in self._front]
        tokens = Axis.over("tokens beside a text", [tokens for _, tokens in known])
        return Scatter(tokens, self._scores, points, line)

    @cached_property
    def by_time(self) -> Scatter:
        """Seconds of work by trial number."""
        seconds = Axis.over("seconds", [trial.seconds for trial in self._scored], zero=True)
        points = [_point(trial, trial.number, trial.seconds) for trial in self._scored]
        return Scatter(self._numbers, seconds, points)

    @cached_property
    def gradients(self) -> Scatter | None:
        """The gradient's norm at each rung of each trial, by the steps or rounds done.

        A norm that grows by orders of magnitude belongs to a learning rate that is too high, one
        that vanishes to a prompt that no longer learns. Searches of older versions have none.
        """
        points = [
            Point(
                rung.step,
                rung.gradient_norm,
                trial.number,
                trial.kind,
                trial.state,
                f"trial {trial.number}, {trial.kind}, rung {rung.rung}: {rung.gradient_norm:.3g}",
            )
            for trial in self._trials
            for rung in trial.rungs
            if rung.gradient_norm
        ]
        if not points:
            return None
        steps = Axis.over("steps or rounds", [point.x for point in points], log=True)
        norms = Axis.over("gradient norm", [point.y for point in points], log=True)
        return Scatter(steps, norms, points)

    @property
    def _numbers(self) -> Axis:
        return Axis.over("trial", [trial.number for trial in self._trials], room=0.02)

    @property
    def _scores(self) -> Axis:
        scores = [trial.score for trial in self._scored if trial.score is not None]
        return Axis.over(f"validation {self._metric}", scores)


def _length(trial: TrialRecord) -> int:
    """The tokens of a trial's prompt, virtual and real."""
    return int(trial.plan.get("length", 0)) + int(trial.plan.get("tokens", 0))


def _point(trial: TrialRecord, x: float, y: float | None) -> Point:
    title = f"trial {trial.number}, {trial.kind}, {trial.state}: {trial.score:.4f}"
    return Point(
        x, y or 0.0, trial.number, trial.kind, trial.state, f"{title}\n{trial.prompt or ''}"
    )
