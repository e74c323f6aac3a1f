"""How the words of a hard prompt are found: one file a searcher."""

from collections.abc import Callable

from autoprompt.search_spaces.registry import Registry
from autoprompt.workers.tuners.searchers.demonstrations import Demonstrations
from autoprompt.workers.tuners.searchers.edits import Edits
from autoprompt.workers.tuners.searchers.policy import Policy
from autoprompt.workers.tuners.searchers.rewriting import Rewriting
from autoprompt.workers.tuners.searchers.searcher import Place, Searcher
from autoprompt.workers.tuners.searchers.swaps import Swaps

#: By the `searcher` of the plans that each carries out.
SEARCHERS: Registry[Callable[[Place], Searcher]] = Registry(
    "searcher",
    {
        "swaps": Swaps,
        "edits": Edits,
        "rewriting": Rewriting,
        "policy": Policy,
        "demonstrations": Demonstrations,
    },
)

__all__ = ["SEARCHERS", "Place", "Searcher"]
