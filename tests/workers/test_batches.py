"""Batches: alike in length, within the budget, and smaller once memory has run out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.workers.batches import _BATCHES_BEFORE_GROWTH, TokenBudget, batches


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, lengths, budget))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    flat = [lengths[index] for batch in found for index in batch]
    assert flat == sorted(flat)


def test_the_budget_halves_until_it_fits_and_is_remembered() -> None:
    budget = TokenBudget(64)
    tried = []

    def work(batch: list[int]) -> int:
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return len(batch)

    costs = [4] * 20
    done = list(budget.run(costs, costs, work))
    assert sorted(index for batch, _ in done for index in batch) == list(range(20))
    assert all(made == len(batch) for batch, made in done)
    assert tried[:4] == [16, 8, 4, 2]
    assert budget.tokens == 8
    tried.clear()
    list(budget.run(costs, costs, work))
    assert max(tried) == 2


class Memory:
    """Holds so many texts of 4 tokens at once, and counts the batches that it had no room for."""

    def __init__(self, texts: int) -> None:
        self.texts = texts
        self.refused = 0

    def passes(self, budget: TokenBudget, count: int) -> None:
        """So many passes over 16 such texts."""
        for _ in range(count):
            list(budget.run([4] * 16, [4] * 16, self._work))

    def _work(self, batch: list[int]) -> None:
        if len(batch) > self.texts:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_halved_budget_recovers_once_there_is_room_again() -> None:
    budget = TokenBudget(64)
    memory = Memory(2)
    memory.passes(budget, 1)
    assert budget.tokens == 8
    memory.texts = 16
    memory.passes(budget, 4 * _BATCHES_BEFORE_GROWTH)
    assert budget.tokens == 64
    assert memory.refused == 3, "it grew into room that was there"


def test_small_batches_say_nothing_of_a_larger_budget() -> None:
    budget = TokenBudget(64)
    Memory(8).passes(budget, 1)
    assert budget.tokens == 32
    for _ in range(5 * _BATCHES_BEFORE_GROWTH):
        list(budget.run([4], [4], len))
    assert budget.tokens == 32


def test_a_lasting_shortage_is_tried_ever_more_seldom() -> None:
    budget, memory = TokenBudget(64), Memory(8)
    memory.passes(budget, 32 * _BATCHES_BEFORE_GROWTH)
    assert 2 < memory.refused < 8, "64 times as many batches fitted as are needed to grow once"


def test_what_fits_nowhere_is_an_error_and_other_errors_are_left_alone() -> None:
    def too_large(batch: list[int]) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")

    with pytest.raises(RuntimeError, match="not enough memory"):
        list(TokenBudget(64).run([4, 4], [4, 4], too_large))

    def broken(batch: list[int]) -> None:
        raise RuntimeError("shape mismatch")

    budget = TokenBudget(64)
    with pytest.raises(RuntimeError, match="shape"):
        list(budget.run([4, 4], [4, 4], broken))
    assert budget.tokens == 64
