"""The prompts that a choice is made from: the best ones, each once."""

from collections.abc import Sequence

from autoprompt.store import PromptRecord

#: Candidates that a choice is made from, best first; and how many to look at for so many that
#: differ from one another.
POOL = 50
CANDIDATES = 4 * POOL


def best_distinct(candidates: Sequence[PromptRecord], size: int) -> list[PromptRecord]:
    """The first `size` candidates that differ from one another, in the order given (best first)."""
    chosen: dict[str, PromptRecord] = {}
    for candidate in candidates:
        if len(chosen) == size:
            break
        chosen.setdefault(candidate.digest, candidate)
    return list(chosen.values())
