"""Blocks of validation texts: nested, each with its part of every label, the same for one seed."""

import pytest

from autoprompt.workers.blocks import FIRST, Blocks, blocks, stratified

#: Of ten texts in a hundred, label 1; of one, label 2.
LABELS = ([0] * 89 + [1] * 10 + [2]) * 20


@pytest.mark.parametrize("count", [3, 50, 200, 1999])
def test_every_beginning_has_its_part_of_each_label(count: int) -> None:
    order = stratified(LABELS, seed=1)
    assert sorted(order) == list(range(len(LABELS)))
    chosen = [LABELS[place] for place in order[:count]]
    for label in range(3):
        due = count * LABELS.count(label) / len(LABELS)
        assert chosen.count(label) >= 1
        assert abs(chosen.count(label) - due) < 3


def test_which_texts_follows_from_the_seed_alone() -> None:
    assert stratified(LABELS, 1) == stratified(LABELS, 1)
    assert set(stratified(LABELS, 1)[:200]) != set(stratified(LABELS, 2)[:200])


@pytest.mark.parametrize(
    ("total", "judging", "rungs", "sizes"),
    [
        (2 * FIRST, "auto", 3, (FIRST,)),
        (5000, "auto", 3, (500, 1000)),
        (5000, "auto", 5, (500, 1000, 2000, 4000)),
        (5000, "auto", 1, ()),
        (2 * FIRST - 1, "auto", 3, ()),
        (5000, "all", 3, ()),
        (5000, 100, 3, (100, 200)),
        (300, 100, 3, (100, 200)),
        (200, 100, 3, (100,)),
        (100, 100, 3, ()),
        (5000, 1, 2, (2,)),
    ],
)
def test_how_many_texts_judge_a_rung(
    total: int, judging: int | str, rungs: int, sizes: tuple[int, ...]
) -> None:
    labels = [place % 2 for place in range(total)]
    made = blocks(labels, judging, rungs, 2, seed=0)
    assert made.sizes == sizes
    assert made.at(rungs) is None
    assert made.at(1) == (sizes[0] if sizes else None)
    assert len(made.order) == (total if sizes else 0)
    assert Blocks().at(1) is None
