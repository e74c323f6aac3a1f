"""The metric, held against the rest of the configuration before anything starts."""

import math

import numpy as np

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.vote import check_vote


def with_checked_metric(config: SearchConfig) -> SearchConfig:
    """The same search, its metric tried; the members vote as the metric needs it, unless the
    configuration says how they vote.

    Raises:
        ConfigError: the metric cannot be imported, fails, or needs probabilities that a majority
            vote does not have.
    """
    key = f"{config.source}: task.metric"
    config.look_for_modules()
    try:
        metric = METRICS[config.task.metric]
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error
    _try(metric, len(config.task.label_words), key)
    ensemble = config.ensemble
    if metric.needs == "probabilities" and "vote" not in ensemble.model_fields_set:
        return config.with_ensemble(ensemble.model_copy(update={"vote": "weighted"}))
    try:
        check_vote(ensemble.vote, metric, "set it to weighted")
    except ConfigError as error:
        raise ConfigError(f"{config.source}: ensemble.vote: {error}") from None
    return config


def _try(metric: Metric, labels: int, key: str) -> None:
    """Score two texts of every label, half of them right.

    Raises:
        ConfigError: that raises, or gives no finite number.
    """
    expected = np.repeat(np.arange(labels), 2)
    choices = np.where(np.arange(len(expected)) % 2, expected, 0)
    logits = 2.0 * np.eye(labels)[choices]
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    try:
        value = metric.score(expected, metric.predictions(log_probs))
    except Exception as error:  # a user's function may raise anything
        raise ConfigError(
            f"{key}: {metric.name} fails on {len(expected)} texts made up to try it: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not math.isfinite(value):
        raise ConfigError(
            f"{key}: {metric.name} gives {value} for {len(expected)} texts made up to try it; a "
            "metric gives one finite number for the right labels and the predicted ones"
        )
