"""What every searcher must say: where it starts, and what it would try next."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.question import ids_of
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.examples import Examples


@dataclass(frozen=True)
class Place:
    """Where words are searched for.

    Attributes:
        plan: the trial's.
        arranged: the prompt around them.
        order: places of the train texts, as races go over them.
        generator: of all that is drawn.
    """

    plan: HardPlan
    scorer: Scorer
    examples: Examples
    arranged: Arrangement
    order: Sequence[int]
    generator: torch.Generator

    def reading_back(self, candidates: list[TokenIds], count: int) -> list[TokenIds]:
        """Up to `count` of them, each once, that are tokenized as themselves again where they will
        stand: those that are not are no text, and neither is what cannot be printed."""
        tokenizer = self.scorer.model.tokenizer
        special = set(tokenizer.all_special_ids)
        candidates = [
            ids
            for ids in dict.fromkeys(candidates)
            if not special & set(ids) and "\ufffd" not in tokenizer.decode(ids)
        ]
        kept = self.arranged.reads_back(candidates)
        return [ids for ids, same in zip(candidates, kept, strict=True) if same][:count]

    def drawn(self, count: int) -> int:
        """A number below `count`."""
        return int(torch.randint(count, (1,), generator=self.generator))


class Searcher(ABC):
    """Proposes words; a race decides between them.

    Attributes:
        start: the tokens it begins with.
        uses_gradient: whether it asks for the loss's gradient by the best prompt's embeddings.
        reserved: places of train texts that prompts are made of, and no race may go over.
        chance: how often a block of a race drops a candidate that is as good as the best. Most lose
            little by it: the best stays, and the next round has others like it.
    """

    start: TokenIds
    uses_gradient = False
    reserved: Collection[int] = ()
    chance = 0.2

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def propose(self, best: TokenIds, gradient: Tensor | None, part: float) -> list[TokenIds]:
        """Candidates beside the best so far, each reading back as itself.

        Args:
            gradient: [P, H], where the searcher asks for it.
            part: of the rounds that are over, 0 to 1.
        """

    def told(self, losses: Mapping[TokenIds, float]) -> None:  # noqa: B027 - most learn nothing
        """The mean losses of what was raced, the best so far among it, on the same texts."""


class OnePhrase(Searcher):
    """Words that are written as one phrase, which begins as the plan's, neither repeated nor cut.

    Attributes:
        written: what each phrase says, by its tokens.
    """

    def __init__(self, place: Place) -> None:
        """The plan's phrase.

        Raises:
            AutopromptError: words are searched for in several places, or it does not read back.
        """
        super().__init__(place)
        plan, arranged = place.plan, place.arranged
        if not arranged.may_resize:
            raise AutopromptError(
                f"the searcher {plan.searcher} writes one phrase: give the template one {{hard}}, "
                "or another position than both"
            )
        self.written: dict[TokenIds, str] = {}
        self.start = self.ids(plan.start)
        if not place.reading_back([self.start], 1):
            raise AutopromptError(
                f"the phrase {plan.start!r} does not read back at {arranged.position}; give the "
                "hard prompt another start or position"
            )

    def ids(self, written: str) -> TokenIds:
        """The tokens of a phrase, which is remembered by them."""
        ids = ids_of(self.place.arranged.joint + written, self.place.scorer.model.tokenizer)
        self.written.setdefault(ids, written)
        return ids

    def others(self, phrases: Iterable[str], best: TokenIds) -> list[TokenIds]:
        """The tokens of phrases that say something else than the best, are no longer than the plan
        has them, and read back: as many as it asks for."""
        plan = self.place.plan
        found = [
            ids for ids in map(self.ids, phrases) if ids != best and 0 < len(ids) <= plan.tokens
        ]
        return self.place.reading_back(found, plan.candidates)
