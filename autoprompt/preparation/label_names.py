"""Labels whose words are not given are called by their own names."""

import re
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import DataError
from autoprompt.search_spaces.wording_space import LabelWords
from autoprompt.workers.answers import ANSWERS
from autoprompt.workers.data_files import label_names
from autoprompt.workers.data_spec import Paths

#: Kinds of answers whose labels are what the column says.
_NAMED = ("label_words", "several_labels", "spans")

#: More labels than these are rather a column of numbers or texts.
_MOST = 1000


def own_word(label: str) -> str:
    """A label's name as a model would say it."""
    return re.sub(r"[_\-]+", " ", label).strip() or label


def with_label_names(config: SearchConfig, progress: SearchProgress) -> SearchConfig:
    """The configuration with the data's own label names as label words, where it gives none.

    Raises:
        DataError: the data cannot be read, or has not at least two labels, or too many.
    """
    if config.task.label_words or config.task.answers not in _NAMED:
        return config
    data = config.data
    path = data.path.train if isinstance(data.path, Paths) else data.path
    kind: Any = ANSWERS[config.task.answers]
    names = label_names(path, config.base, data.subset, data.label, data.label_map, kind.labels_in)
    if not 2 <= len(names) <= _MOST:
        raise DataError(
            f"{path}: column {data.label!r} has {len(names)} labels; say which are meant, and "
            "their words, in task.label_words"
        )
    words: LabelWords = {name: (own_word(name),) for name in names}
    shown = ", ".join(names[:8]) + (" ..." if names[8:] else "")
    progress.say(f"label words: the {len(names)} labels' own names ({shown})")
    return config.replaced(task=config.task.model_copy(update={"label_words": words}))
