"""Autoprompt: searches hard and soft prompts on a frozen language model.

import autoprompt
result = autoprompt.search(df, label="team", model="Qwen/Qwen2.5-0.5B-Instruct")
result.best.prompt
result.ensemble.predict(["a joy from start to finish"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoprompt.api import check, compare, delete, load, resume, search, searches
    from autoprompt.callbacks import Callback
    from autoprompt.config import SearchConfig
    from autoprompt.prompt_classifier import PromptClassifier
    from autoprompt.results import SearchResult
    from autoprompt.search_spaces.errors import (
        AutopromptError,
        BadInputError,
        ClusterError,
        ConfigError,
        DatabaseLostError,
        DataError,
        FetchError,
        JobFailedError,
        JobNotFoundError,
        ModelError,
        SearchFailedError,
        SearchNotFoundError,
        SearchTakenError,
        SearchUnfinishedError,
        StoreError,
    )
    from autoprompt.workers.metrics import Metric

__all__ = [
    "AutopromptError",
    "BadInputError",
    "Callback",
    "ClusterError",
    "ConfigError",
    "DataError",
    "DatabaseLostError",
    "FetchError",
    "JobFailedError",
    "JobNotFoundError",
    "Metric",
    "ModelError",
    "PromptClassifier",
    "SearchConfig",
    "SearchFailedError",
    "SearchNotFoundError",
    "SearchResult",
    "SearchTakenError",
    "SearchUnfinishedError",
    "StoreError",
    "__version__",
    "check",
    "compare",
    "delete",
    "load",
    "resume",
    "search",
    "searches",
]

#: Where a name is imported from.
_HOMES = {
    **dict.fromkeys(
        (name for name in __all__ if name.endswith("Error")), "autoprompt.search_spaces.errors"
    ),
    "Callback": "autoprompt.callbacks",
    "Metric": "autoprompt.workers.metrics",
    "PromptClassifier": "autoprompt.prompt_classifier",
    "SearchConfig": "autoprompt.config",
    "SearchResult": "autoprompt.results",
    **dict.fromkeys(
        ("check", "compare", "delete", "load", "resume", "search", "searches"), "autoprompt.api"
    ),
}


def __getattr__(name: str) -> Any:
    """Import on first use: `import autoprompt` and `autoprompt --help` wait for nothing else."""
    if name == "__version__":
        from autoprompt.search_spaces.distribution import version

        return version()
    if name not in _HOMES:
        raise AttributeError(f"module 'autoprompt' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What may be imported from here, imported already or not."""
    return sorted({*globals(), *__all__})
