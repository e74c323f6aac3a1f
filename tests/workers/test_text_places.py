"""Where texts are kept, by their sizes."""

import pytest

from autoprompt.workers.cache_files import OVERHEAD
from autoprompt.workers.text_places import Places, places

FILE = 1000 + OVERHEAD


def test_all_at_hand_where_they_fit_to_the_byte_and_in_files_where_these_hold_all() -> None:
    sizes = [1000] * 4
    assert places(sizes, 4000, 4 * FILE) == Places([0, 1, 2, 3], [], [], shares=True)
    assert places(sizes, 4000, 4 * FILE - 1) == Places([0, 1, 2, 3], [], [], shares=False)


def test_memory_first_then_disk_then_nowhere_in_the_order_given() -> None:
    """The files are left to those that memory does not hold."""
    sizes = [1000] * 12
    assert places(sizes, 3200, 5 * FILE) == Places(
        [0, 1, 2], [3, 4, 5, 6, 7], [8, 9, 10, 11], shares=False
    )


def test_files_that_hold_all_hold_those_at_hand_too() -> None:
    assert places([1000] * 4, 2200, 4 * FILE) == Places([0, 1], [2, 3], [], shares=True)


@pytest.mark.parametrize(("at_hand", "on_disk"), [(0, 0), (999, 999), (0, 1000)])
def test_nothing_fits_where_there_is_no_room(at_hand: int, on_disk: int) -> None:
    assert places([1000, 1000], at_hand, on_disk) == Places([], [], [0, 1], shares=False)


def test_a_text_too_large_for_what_is_left_keeps_no_smaller_one_out() -> None:
    assert places([500, 2000, 500], 1100, 0) == Places([0, 2], [], [1], shares=False)
