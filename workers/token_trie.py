"""Sequences of tokens as a trie: what begins alike is read once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autoprompt.workers.text_states import TokenIds


@dataclass(frozen=True)
class TokenTrie:
    """Token sequences that begin at one place; **N** is the number of their tokens, each held once.

    Attributes:
        tokens: [N], depth first: a token stands behind the one it follows, and before whatever
            begins otherwise.
        parents: [N], the place in `tokens` of the one that each follows; -1 for the first ones.
    """

    tokens: TokenIds = ()
    parents: tuple[int, ...] = ()

    @classmethod
    def of(cls, sequences: Iterable[TokenIds]) -> "TokenTrie":
        """The trie of sequences, of which some may begin others, or be empty."""
        root: dict[int, Any] = {}
        for sequence in sequences:
            node = root
            for token in sequence:
                node = node.setdefault(token, {})
        tokens: list[int] = []
        parents: list[int] = []
        waiting = [(token, -1, behind) for token, behind in reversed(root.items())]
        while waiting:
            token, parent, children = waiting.pop()
            place = len(tokens)
            tokens.append(token)
            parents.append(parent)
            waiting += [(child, place, behind) for child, behind in reversed(children.items())]
        return cls(tuple(tokens), tuple(parents))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_path(self) -> bool:
        """Whether it is a single sequence, or empty."""
        return self.depth == len(self)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """[N], how many tokens stand before each in its sequence."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent < 0 else depths[parent] + 1)
        return tuple(depths)

    @property
    def depth(self) -> int:
        """How many tokens the longest sequence has."""
        return max(self.depths, default=-1) + 1

    @cached_property
    def places(self) -> dict[TokenIds, int]:
        """Where the last token of a sequence, or of the beginning of one, stands in `tokens`; -1
        for the empty one."""
        sequences: list[TokenIds] = []
        for token, parent in zip(self.tokens, self.parents, strict=True):
            sequences.append((*(sequences[parent] if parent >= 0 else ()), token))
        return {(): -1} | {sequence: place for place, sequence in enumerate(sequences)}

    @cached_property
    def sees(self) -> Tensor:
        """[N, N] bool: a token sees those before it in its sequence, and itself."""
        sees = torch.eye(len(self), dtype=torch.bool)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                sees[place] |= sees[parent]
        return sees

    def paths(self) -> Iterator[tuple[TokenIds, int]]:
        """The sequences that begin no other one, for who reads them one by one: all tokens of each,
        and how many of the last of them no sequence before had. In the order of `tokens`; of an
        empty trie the empty sequence."""
        if not self.tokens:
            yield (), 0
        inner, new = set(self.parents), 0
        for sequence, place in self.places.items():
            if place < 0:
                continue
            new += 1
            if place not in inner:
                yield sequence, new
                new = 0
