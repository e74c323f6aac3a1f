"""Which texts are kept where: a fixed choice, made of sizes alone.

Training goes through its texts in random order, again and again. Keeping those used last would then
discard nearly every text before it is used again; a fixed part of them that stays is worth just its
size. The choice follows from the texts' order and sizes, so the same search makes it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autoprompt.workers.cache_files import OVERHEAD

#: The part of memory that is left to texts in use, where not all texts fit.
_IN_USE = 1 / 16


@dataclass(frozen=True)
class Places:
    """Indices of B texts, each in one of the three.

    Attributes:
        at_hand: in memory.
        on_disk: read from their files each time.
        nowhere: computed each time.
        shares: those in memory have files, too, for other workers and later searches: where the
            files hold every text.
    """

    at_hand: list[int]
    on_disk: list[int]
    nowhere: list[int]
    shares: bool


def places(sizes: Sequence[int], bytes_at_hand: int, bytes_on_disk: int) -> Places:
    """Where B texts are kept: each in memory where there is room for it, else on disk.

    Args:
        sizes: [B] bytes, the text that matters most first.
        bytes_at_hand, bytes_on_disk: room for them.
    """
    if sum(sizes) > bytes_at_hand:
        bytes_at_hand -= int(bytes_at_hand * _IN_USE)
    shares = sum(sizes) + OVERHEAD * len(sizes) <= bytes_on_disk
    found = Places([], [], [], shares)
    for index, size in enumerate(sizes):
        if size <= bytes_at_hand:
            bytes_at_hand -= size
            found.at_hand.append(index)
        elif size + OVERHEAD <= bytes_on_disk:
            bytes_on_disk -= size + OVERHEAD
            found.on_disk.append(index)
        else:
            found.nowhere.append(index)
    return found
