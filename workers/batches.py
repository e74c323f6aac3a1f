"""How many texts go through the model at once."""

from collections.abc import Iterator, Sequence


def batches(lengths: Sequence[int], costs: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of texts in batches: alike in length, so that little is padding, and of at most
    `budget` tokens (or one text).

    Args:
        lengths: what to sort by, one per text.
        costs: the tokens each text puts through the model.
    """
    batch: list[int] = []
    widest = 0
    for index in sorted(range(len(lengths)), key=lambda each: (lengths[each], each)):
        wider = max(widest, costs[index])
        if batch and wider * (len(batch) + 1) > budget:
            yield batch
            batch, wider = [], costs[index]
        batch.append(index)
        widest = wider
    if batch:
        yield batch
