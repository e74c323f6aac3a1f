"""The embedding table [V, H] looked at as a whole, a part of its rows at a time: a whole one in
float32, beside the model's own in half as many bits, is what a large model leaves no room for."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

#: Numbers of the table that are looked at together, in float32: 16 MiB.
_NUMBERS = 1 << 22


def _parts(table: Tensor, numbers: int) -> Iterator[tuple[int, Tensor]]:
    """Some rows and where they begin, of the table's own dtype; together all of it."""
    rows = max(1, numbers // table.shape[1])
    for start in range(0, len(table), rows):
        yield start, table[start : start + rows]


def nearest_tokens(vectors: Tensor, table: Tensor, numbers: int = _NUMBERS) -> list[int]:
    """The row of the table that is nearest by cosine to each of the vectors [P, H].

    Args:
        numbers: of the table, looked at together.
    """
    places, _ = nearest(vectors, table, 1, numbers)
    tokens: list[int] = places[:, 0].tolist()
    return tokens


@torch.no_grad()
def nearest(
    vectors: Tensor, table: Tensor, count: int, numbers: int = _NUMBERS
) -> tuple[Tensor, Tensor]:
    """The rows of the table that are nearest by cosine to each of the vectors [P, H], the nearest
    first, and their cosines: both [P, count].

    Args:
        numbers: of the table, looked at together.
    """
    directions = normalize(vectors.to(table.device).float(), dim=-1)
    closest = directions.new_full((len(vectors), count), -torch.inf)
    found = torch.zeros(len(vectors), count, dtype=torch.long, device=table.device)
    for start, part in _parts(table, numbers):
        cosines = directions @ normalize(part.float(), dim=-1).T
        places = torch.arange(start, start + len(part), device=table.device)
        closest, order = torch.cat([closest, cosines], dim=1).topk(count, dim=1)
        found = torch.cat([found, places.expand(len(vectors), -1)], dim=1).gather(1, order)
    return found.cpu(), closest.cpu()


@torch.no_grad()
def spread(table: Tensor, numbers: int = _NUMBERS) -> float:
    """The standard deviation of the table's numbers, rounded to float32 as theirs would be.

    Args:
        numbers: of the table, looked at together.
    """
    total = torch.zeros((), dtype=torch.float64, device=table.device)
    for _, part in _parts(table, numbers):
        total += part.double().sum()
    mean, squares = total / table.numel(), torch.zeros_like(total)
    for _, part in _parts(table, numbers):
        squares += (part.double() - mean).square().sum()
    return float((squares / (table.numel() - 1)).sqrt().float())
