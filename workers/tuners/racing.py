"""Racing: candidates compared on growing blocks of train texts, and dropped once they are clearly
worse (F-race, Birattari et al. 2002; CAPO, Zehle et al. 2025).

On every block the candidates that are left are scored, and held against the best of them by a
paired t-test, one side, on all texts that both have been scored on. What was scored on a block is
remembered, and never scored on it again. The first block is half a batch, which is enough to drop
most candidates, and each further one doubles the texts. How many blocks a race may take grows from
round to round, as the candidates come nearer to one another.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from scipy import stats
from torch import Tensor

from autoprompt.workers.text_states import TokenIds

#: A race goes through so many blocks of texts in the first round of a trial, and in the last.
BLOCKS_OF_A_ROUND = (2, 5)

#: Losses [N, B] of N candidates on the texts at B places.
Losses = Callable[[Sequence[TokenIds], Sequence[int]], Tensor]


class Racing:
    """Candidates and their losses on the blocks they have been through.

    Attributes:
        scored: candidates times texts that were computed.
        asked: those that comparing every candidate on all blocks of its races would have taken.
    """

    def __init__(self, order: Sequence[int], size: int, losses: Losses, chance: float) -> None:
        """Nothing scored yet.

        Args:
            order: places of the texts, as they are to be gone through.
            size: texts of the first two blocks together.
            chance: how often a candidate is dropped on a block that is as good as the best.
        """
        self._blocks: list[Sequence[int]] = []
        start, end = 0, max(size // 2, 1)
        while start < len(order):
            self._blocks.append(order[start:end])
            start, end = end, 2 * end
        self._compute = losses
        self._chance = chance
        self._known: dict[TokenIds, Tensor] = {}
        self.scored = 0
        self.asked = 0

    def run(self, candidates: Sequence[TokenIds], blocks: int) -> tuple[TokenIds, float]:
        """The best of these, and its mean loss.

        Args:
            blocks: how many blocks the race may go through.
        """
        left = list(dict.fromkeys(candidates))
        most = min(max(blocks, 1), len(self._blocks))
        last = self._end(most - 1)
        self.asked += sum(max(last - len(self._known.get(ids, ())), 0) for ids in left)
        for number in range(most):
            self._score(left, number)
            losses = torch.stack([self._known[ids][: self._end(number)] for ids in left])
            left = self._not_worse(left, losses)
            if len(left) == 1:
                break
        end = min(len(self._known[ids]) for ids in left)
        means = [float(self._known[ids][:end].mean()) for ids in left]
        best = min(range(len(left)), key=means.__getitem__)
        return left[best], means[best]

    def means(self, candidates: Sequence[TokenIds]) -> Mapping[TokenIds, float]:
        """The mean loss of each candidate on the first block, which all of them have."""
        first = self._end(0)
        return {ids: float(self._known[ids][:first].mean()) for ids in candidates}

    def _end(self, number: int) -> int:
        return sum(map(len, self._blocks[: number + 1]))

    def _score(self, candidates: Sequence[TokenIds], number: int) -> None:
        start = self._end(number - 1) if number else 0
        new = [ids for ids in candidates if len(self._known.get(ids, ())) <= start]
        if not new:
            return
        block = self._blocks[number]
        self.scored += len(new) * len(block)
        for ids, losses in zip(new, self._compute(new, block), strict=True):
            before = self._known.get(ids, losses.new_empty(0))
            self._known[ids] = torch.cat([before, losses])

    def _not_worse(self, left: list[TokenIds], losses: Tensor) -> list[TokenIds]:
        """Those that are not clearly worse than the best."""
        best = int(losses.mean(1).nan_to_num(torch.inf).argmin())
        return [
            ids
            for place, ids in enumerate(left)
            if place == best or not clearly_worse(losses[place], losses[best], self._chance)
        ]


def clearly_worse(losses: Tensor, best: Tensor, chance: float) -> bool:
    """Whether losses [B] lie above others on the same texts by more than would come about with so
    much chance."""
    if not bool(losses.isfinite().all()):
        return True
    if len(losses) < 2 or torch.equal(losses, best):
        return False
    found = stats.ttest_rel(losses.numpy(), best.numpy(), alternative="greater")
    return bool(found.pvalue < chance)
