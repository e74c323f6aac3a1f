"""Charts of trials, a function each: a `Scatter`, or None where there is nothing to show."""

from collections.abc import Sequence

from autoprompt.reporting.charts import Axis, Point, Scatter
from autoprompt.store import TrialRecord


def gradient_norms(trials: Sequence[TrialRecord]) -> Scatter | None:
    """The gradient's norm at each rung of each trial, by the steps or rounds done.

    A norm that grows by orders of magnitude belongs to a learning rate that is too high, one that
    vanishes to a prompt that no longer learns. Searches of older versions have none.
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
        for trial in trials
        for rung in trial.rungs
        if rung.gradient_norm
    ]
    if not points:
        return None
    steps = Axis.over("steps or rounds", [point.x for point in points], log=True)
    norms = Axis.over("gradient norm", [point.y for point in points], log=True)
    return Scatter(steps, norms, points)
