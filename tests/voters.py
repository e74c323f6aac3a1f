"""Who votes, where a test decides it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.results import SearchResult
from autoprompt.store import PromptRecord
from autoprompt.workers.combination import Combination, heads


@dataclass(frozen=True)
class Voters:
    """Prompts of a search that vote in the place of its own ensemble's; each has a head unless a
    rule is given."""

    result: SearchResult
    members: Sequence[PromptRecord]
    rule: Combination | None = None
    abstention: None = None

    @property
    def combination(self) -> Combination:
        return self.rule or heads([1.0] * len(self.members))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.result.ensemble, name)
