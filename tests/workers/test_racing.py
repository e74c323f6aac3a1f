"""Racing: what is clearly worse is dropped early, and nothing is scored twice."""

from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.racing import Racing, clearly_worse

TEXTS, BLOCK = 256, 16
CHANCE = 0.2


class Contest:
    """Losses of made-up candidates: each has its own mean, and texts are easier or harder alike."""

    def __init__(self, means: dict[TokenIds, float]) -> None:
        generator = torch.Generator().manual_seed(0)
        texts = torch.randn(TEXTS, generator=generator)
        self.losses = {
            ids: mean + 0.5 * texts + 0.1 * torch.randn(TEXTS, generator=generator)
            for ids, mean in means.items()
        }
        self.scored: Counter[tuple[TokenIds, int]] = Counter()

    def __call__(self, candidates: Sequence[TokenIds], places: Sequence[int]) -> Tensor:
        self.scored.update((ids, place) for ids in candidates for place in places)
        return torch.stack([self.losses[ids][list(places)] for ids in candidates])


def test_the_best_wins_and_the_others_are_dropped_early() -> None:
    contest = Contest({(n,): 1 + 0.1 * n for n in range(10)})
    racing = Racing(range(TEXTS), BLOCK, contest, CHANCE)
    best, loss = racing.run([(n,) for n in reversed(range(10))], blocks=16)
    assert best == (0,)
    seen = [place for ids, place in contest.scored if ids == best]
    assert loss == pytest.approx(float(contest.losses[best][seen].mean()))
    assert racing.scored == sum(contest.scored.values())
    assert racing.asked == 10 * TEXTS
    assert racing.scored < 0.4 * racing.asked


def test_blocks_begin_with_half_a_batch_and_double_the_texts() -> None:
    contest = Contest({(0,): 1.0, (1,): 1.0, (2,): 5.0})
    for ids in ((0,), (1,)):
        contest.losses[ids] = contest.losses[0,]
    texts = []
    for blocks in range(1, 8):
        contest.scored.clear()
        Racing(range(200), BLOCK, contest, CHANCE).run([(0,), (1,), (2,)], blocks)
        counts = Counter(ids for ids, _ in contest.scored)
        assert counts[2,] == BLOCK // 2
        assert counts[0,] == counts[1,]
        texts.append(counts[0,])
    assert texts == [8, 16, 32, 64, 128, 200, 200]


def test_a_candidate_is_never_scored_on_a_block_again() -> None:
    contest = Contest({(n,): 1 + 0.02 * n for n in range(6)})
    racing = Racing(range(TEXTS), BLOCK, contest, CHANCE)
    for blocks in (1, 2, 4, 8):
        racing.run([(n,) for n in range(6)], blocks)
    assert set(contest.scored.values()) == {1}


def test_of_two_that_are_alike_the_one_before_stays() -> None:
    contest = Contest({(0,): 1.0})
    contest.losses[1,] = contest.losses[0,].clone()
    racing = Racing(range(TEXTS), BLOCK, contest, CHANCE)
    assert racing.run([(0,), (1,)], 4)[0] == (0,)


def test_what_is_no_number_is_dropped() -> None:
    contest = Contest({(0,): 1.0, (1,): 0.5})
    contest.losses[1,][:] = torch.nan
    racing = Racing(range(TEXTS), BLOCK, contest, CHANCE)
    assert racing.run([(1,), (0,)], 4)[0] == (0,)


@pytest.mark.parametrize("chance", [0.05, 0.2])
def test_chance_drops_as_often_as_it_is_said_to(chance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(2000, 2, 32, generator=generator)
    dropped = sum(clearly_worse(one, other, chance) for one, other in pairs)
    assert 0.8 * chance < dropped / len(pairs) < 1.2 * chance


@pytest.mark.parametrize(("chance", "left"), [(0.05, 2), (0.2, 1)])
def test_a_race_drops_at_its_own_chance(chance: float, left: int) -> None:
    """Of two whose paired difference on the first block is one that p = 0.1 would be told of."""
    contest = Contest({(0,): 1.0, (1,): 1.0})
    shift = torch.tensor([1.0, -1.0] * (TEXTS // 2))
    contest.losses[1,] = contest.losses[0,] + shift + 0.54
    Racing(range(TEXTS), BLOCK, contest, chance).run([(0,), (1,)], 2)
    assert contest.scored[(1,), BLOCK - 1] == left - 1
