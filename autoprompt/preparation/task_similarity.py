"""What a search leaves of its texts, so that later searches can be held against it.

The texts themselves are not kept: a count of their tokens says how near another task is, and
hashes say whether a text of another task was learned from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import scipy
import xxhash
from numpy.typing import NDArray
from safetensors.numpy import load, save

from autoprompt.workers.data import Splits
from autoprompt.workers.rows import Text, as_text

#: Train texts whose tokens are counted; the split is shuffled, so the first are a fair sample.
_COUNTED_TEXTS = 2000


@dataclass(frozen=True, eq=False)
class Footprint:
    """The texts of one search, seen through its model's tokenizer.

    Attributes:
        tokens, counts: each token of the train texts, and how often it stands there.
        seen: hashes of the train and validation texts, sorted; with those of the search that this
            one started from, whose prompts have learned from them.
    """

    tokens: NDArray[np.int64]
    counts: NDArray[np.int64]
    seen: NDArray[np.uint64]

    @classmethod
    def of(cls, splits: Splits, tokenizer: Any) -> "Footprint":
        """The footprint of a search's data."""
        sample = [as_text(text) for text in splits.train.texts[:_COUNTED_TEXTS]]
        encoded = tokenizer(sample, add_special_tokens=False).input_ids
        tokens, counts = np.unique(np.concatenate(encoded), return_counts=True)
        seen = _hashes([*splits.train.texts, *splits.validation.texts])
        return cls(tokens.astype(np.int64), counts.astype(np.int64), seen)

    def nearness(self, other: "Footprint") -> float:
        """How alike two tasks' texts are: 1 for the same tokens equally often, 0 for none shared.

        One minus the Jensen-Shannon divergence of their token frequencies, which Plank and van
        Noord 2011 and Ruder and Plank 2017 found to choose well among source domains. It needs no
        model, and no prompt trained on the new task first, as SPoT's nearness does.
        """
        tokens = np.union1d(self.tokens, other.tokens)
        mine, theirs = self._spread_over(tokens), other._spread_over(tokens)
        return 1.0 - float(scipy.spatial.distance.jensenshannon(mine, theirs, base=2)) ** 2

    def _spread_over(self, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        spread = np.zeros(len(tokens))
        spread[np.searchsorted(tokens, self.tokens)] = self.counts
        return spread

    def learned_from(self, texts: Sequence[Text]) -> int:
        """How many of these texts the search has learned from or was judged by."""
        return len(np.intersect1d(_hashes(texts), self.seen))

    def after(self, sources: Iterable["Footprint"]) -> "Footprint":
        """The footprint of a search that starts from what others have learned."""
        seen = reduce(np.union1d, (source.seen for source in sources), self.seen)
        return Footprint(self.tokens, self.counts, seen)

    def to_bytes(self) -> bytes:
        """One safetensors document."""
        return bytes(save({"tokens": self.tokens, "counts": self.counts, "seen": self.seen}))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Footprint":
        """The inverse of `to_bytes`."""
        return cls(**load(content))


def _hashes(texts: Sequence[Text]) -> NDArray[np.uint64]:
    digests = (xxhash.xxh3_64_intdigest(as_text(text).encode()) for text in texts)
    return np.unique(np.fromiter(digests, dtype=np.uint64, count=len(texts)))
