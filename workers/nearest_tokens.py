"""Which of a vocabulary's tokens stand nearest to vectors."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

#: Numbers of the embedding table that are normalised at once, in float32: 16 MiB.
_NUMBERS = 1 << 22


@torch.no_grad()
def nearest_tokens(vectors: Tensor, table: Tensor, numbers: int = _NUMBERS) -> list[int]:
    """The row of the table [V, H] that is nearest by cosine to each of the vectors [P, H].

    Args:
        numbers: of the table, looked at together; a whole one in float32, twice, is what a large
            model leaves no room for.
    """
    directions = normalize(vectors.to(table.device).float(), dim=-1)
    closest = torch.full((len(vectors),), -torch.inf, device=table.device)
    nearest = torch.zeros(len(vectors), dtype=torch.long, device=table.device)
    rows = max(1, numbers // table.shape[1])
    for start in range(0, len(table), rows):
        chunk = normalize(table[start : start + rows].float(), dim=-1)
        cosines, places = (directions @ chunk.T).max(dim=-1)
        nearest = torch.where(cosines > closest, places + start, nearest)
        closest = torch.maximum(cosines, closest)
    return nearest.tolist()
