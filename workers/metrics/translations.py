"""BLEU and chrF as sacrebleu has them: of a whole corpus, from sums of what each text adds.

The sums are the library's own, under names that it does not document; a test holds them.
"""

from abc import abstractmethod
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.extras import demand
from autoprompt.workers.metric_functions import Floats
from autoprompt.workers.metrics.summed import Summed
from autoprompt.workers.metrics.texts import references


class _Sacrebleu(Summed):
    """One of sacrebleu's scores, of 1 in the place of 100."""

    @abstractmethod
    def _made(self) -> Any:
        """The library's object."""

    @cached_property
    def _scorer(self) -> Any:
        demand("sacrebleu", "metrics")
        return self._made()

    def parts(self, expected: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """[B, S], counts of n-grams and lengths."""
        streams = list(zip_longest(*map(references, expected)))
        rows = self._scorer._extract_corpus_statistics(list(predicted), streams)
        return np.array(rows, dtype=np.float64)

    def of_sums(self, sums: Floats) -> Floats:
        return np.apply_along_axis(self._of_row, -1, sums)

    def _of_row(self, sums: Floats) -> float:
        score: float = self._scorer._compute_score_from_stats(sums.tolist()).score
        return score / 100


class Bleu(_Sacrebleu):
    """BLEU of the whole corpus (Papineni et al. 2002), from 0 to 1; sacrebleu's, with its
    defaults."""

    def _made(self) -> Any:
        from sacrebleu.metrics import BLEU

        return BLEU(force=True)  # no warning of texts that look like tokens


class Chrf(_Sacrebleu):
    """chrF of the whole corpus: F of runs of characters (chrF2, Popović 2015), from 0 to 1;
    sacrebleu's, with its defaults."""

    def _made(self) -> Any:
        from sacrebleu.metrics import CHRF

        return CHRF()
