"""Batches: alike in length, within the budget, and smaller once memory has run out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.workers.batches import TokenBudget, batches


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
