"""Whether the labelled texts can be divided into the folds that a search asks for."""

from collections import Counter

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.data import Splits


def check_folds(config: SearchConfig, splits: Splits) -> None:
    """Refuse more folds than there are groups, or than a label has texts: a fold without one says
    nothing of it.

    Raises:
        BadInputError: there are fewer, or a label has.
    """
    if config.bagging is None:
        return
    groups = len({*splits.train.groups, *splits.validation.groups})
    if 0 < groups < config.bagging.folds:
        raise BadInputError(
            f"{config.source}: bagging.folds: {config.bagging.folds} folds, and the labelled texts "
            f"have {groups} values of {config.data.group!r}, which no two folds share; take at "
            "most so many folds, or leave bagging out"
        )
    names = list(config.task.label_words)
    counts = Counter(splits.train.labels + splits.validation.labels)
    rarest = min(range(len(names)), key=lambda label: counts[label])
    if counts[rarest] < config.bagging.folds:
        raise BadInputError(
            f"{config.source}: bagging.folds: {config.bagging.folds} folds, and only "
            f"{counts[rarest]} labelled texts are {names[rarest]!r}; take at most so many folds, "
            "or leave bagging out"
        )
