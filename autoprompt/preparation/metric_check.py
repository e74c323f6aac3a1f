"""The metric, held against the rest of the configuration before anything starts."""

import math

import numpy as np

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.metrics.made_up import decisions, right_answers
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
    _try(metric, max(len(config.task.label_words), 2), key)
    ensemble = config.ensemble
    if metric.needs == "probabilities" and "vote" not in ensemble.model_fields_set:
        return config.replaced(ensemble=ensemble.model_copy(update={"vote": "weighted"}))
    try:
        check_vote(ensemble.vote, metric, "set it to weighted")
    except ConfigError as error:
        raise ConfigError(f"{config.source}: ensemble.vote: {error}") from None
    return config


def _try(metric: Metric, size: int, key: str) -> None:
    """Score two texts of each of so many labels, half of them right.

    Raises:
        ConfigError: that raises, or gives no finite number, or needs a package that is not here.
    """
    labels = np.repeat(np.arange(size), 2)
    choices = np.where(np.arange(len(labels)) % 2, labels, 0)
    expected = right_answers(metric.needs, labels, size)
    predicted = decisions(metric.needs, choices, size)
    try:
        value = metric.score(expected, predicted)
    except ConfigError as error:
        raise ConfigError(f"{key}: {metric.name} {error}") from error
    except Exception as error:  # a user's function may raise anything
        raise ConfigError(
            f"{key}: {metric.name} fails on {len(expected)} texts made up to try it: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not math.isfinite(value):
        raise ConfigError(
            f"{key}: {metric.name} gives {value} for {len(expected)} texts made up to try it; a "
            "metric gives one finite number for the right answers and the predicted ones"
        )
