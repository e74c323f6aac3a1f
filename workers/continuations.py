"""What follows each text of a pass, where that differs from text to text: teacher forcing.

Label words are one trie behind every text (`Readout.branches`). Here each text has one sequence of
its own, a trie without branches, of which only the tokens differ: passes lay it out as they do
those words, and are asked for one token at each place instead of a few fixed ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autoprompt.workers.device_copies import on_device
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.token_trie import TokenTrie


@dataclass(frozen=True, eq=False)
class Continuations:
    """The tokens that follow each of B texts and its prompt, T at most.

    Attributes:
        tokens: [B, T]; below 0 beyond a text's own.
        kept: any token may be one of them.
    """

    tokens: Tensor
    kept: ClassVar[None] = None

    @classmethod
    def of(cls, sequences: Sequence[TokenIds], device: torch.device) -> "Continuations":
        """Those of B texts, of which some may be empty."""
        rows = [torch.tensor(ids, dtype=torch.long) for ids in sequences]
        if not any(map(len, rows)):
            rows = [torch.tensor([-1])] * len(rows)
        return cls(on_device(pad_sequence(rows, batch_first=True, padding_value=-1), device))

    @cached_property
    def branches(self) -> TokenTrie:
        """The place of each token that is read: all but the last, each behind the one before it."""
        count = self.tokens.shape[1] - 1
        return TokenTrie((0,) * count, tuple(range(-1, count - 1)))

    @property
    def read(self) -> Tensor:
        """[B, T - 1], what is read; what stands beyond a text's own is seen by none of those."""
        return self.tokens[:, :-1].clamp(min=0)

    def __call__(self, found: Tensor) -> Tensor:
        """[..., T] of the log-probabilities [..., T, 1] that a pass found."""
        return found[..., 0]
