"""A model's output layer: whole, or cut down to what is asked of it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

#: Logits that stand in memory at once where only a token of each row is wanted: 64 MiB of them.
_LOGITS_AT_ONCE = 1 << 24


class OutputLayer(nn.Module):
    """The output layer, cut down to the rows of the label words in float32 where they are known.

    The model's own forward pass still applies what follows it (scaling, soft-capping), and the
    product with the whole vocabulary, which bfloat16 would also round to three digits, is spared.

    Attributes:
        full: the whole layer.
        is_bare: while it is, states are handed on as they come.
    """

    def __init__(self, full: Any) -> None:
        super().__init__()
        self.full: Any = full
        self.is_bare = False
        self._rows: list[int] = []
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    @property
    def bias(self) -> Tensor | None:
        """The whole layer's, which some models ask for when their output layer is set."""
        return getattr(self.full, "bias", None)

    def keep(self, token_ids: Sequence[int] | None) -> None:
        if token_ids is None:
            self._weight = self._bias = None
            return
        self._rows = list(token_ids)
        self._weight, self._bias = self._now()

    def _now(self) -> tuple[Tensor, Tensor | None]:
        """The rows as they are now."""
        bias = None if self.bias is None else self.bias[self._rows].float()
        return self.full.weight[self._rows].float(), bias

    def forward(self, hidden: Tensor) -> Tensor:
        if self.is_bare:
            return hidden
        if self._weight is None:
            logits: Tensor = self.full(hidden)
            return logits
        if self.full.weight.requires_grad:  # of a baseline: it is being trained, and changes
            self._weight, self._bias = self._now()
        return nn.functional.linear(hidden.to(self._weight), self._weight, self._bias)


def chosen_log_probs(last: nn.Module, states: Tensor, wanted: Tensor, vocabulary: int) -> Tensor:
    """The log-probability of one token in each place, a few places' logits in memory at a time:
    where gradients are taken, they are computed once more.

    Args:
        last: makes logits of states.
        states: [B, N, H].
        wanted: [B, N], the tokens; below 0 for none.
        vocabulary: V.

    Returns:
        [B, N] float32; 0 where no token is wanted.
    """
    wanted = wanted.to(states.device)
    real = wanted >= 0
    part = max(1, _LOGITS_AT_ONCE // vocabulary)
    rows = list(zip(states[real].split(part), wanted[real].split(part), strict=True))
    if len(rows) == 1:
        found = _chosen(last, *rows[0])
    else:
        found = torch.cat([checkpoint(_chosen, last, *row, use_reentrant=False) for row in rows])
    return torch.zeros(wanted.shape, device=states.device).masked_scatter(real, found)


def _chosen(last: nn.Module, states: Tensor, wanted: Tensor) -> Tensor:
    """[M], the log-probabilities of tokens [M], of what goes into the last layer [M, ...]."""
    found = torch.log_softmax(last(states).float(), dim=-1)
    return found.gather(-1, wanted[:, None])[:, 0]
