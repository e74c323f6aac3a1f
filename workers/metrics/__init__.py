"""Metrics: what predictions are judged by, a file for each kind of answers."""

from autoprompt.workers.metrics.by_name import METRICS
from autoprompt.workers.metrics.metric import Decision, Function, Metric, Needs
from autoprompt.workers.metrics.summed import Summed

__all__ = ["METRICS", "Decision", "Function", "Metric", "Needs", "Summed"]
