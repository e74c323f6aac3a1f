"""A scale on a model: label words, of which numbers between them are some of each."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autoprompt.workers.answers.answers import Readout, Right
from autoprompt.workers.answers.word_readout import WordReadout
from autoprompt.workers.vote import Floats


class ScaleReadout(WordReadout):
    """Label words; a number between two steps is learnt as some of each, so that its expectation is
    right."""

    def __init__(self, words: WordReadout, steps: Floats) -> None:
        super().__init__(words.labels, words.words, words.scoring)
        self.spoken = words.spoken
        self._steps = steps

    def targets(self, rights: Sequence[Right]) -> Tensor:
        """[B, L], the part of each step."""
        found = np.zeros((len(rights), self.size), dtype=np.float32)
        for row, value in zip(found, rights, strict=True):
            above = int(np.clip(np.searchsorted(self._steps, value), 1, self.size - 1))
            low, high = self._steps[above - 1 : above + 1]
            row[above] = (value - low) / (high - low)
            row[above - 1] = 1 - row[above]
        return torch.from_numpy(found)

    def losses(self, scores: Tensor, expected: Tensor) -> Tensor:
        return self.surprise(torch.log_softmax(scores, dim=-1), expected)

    def surprise(self, log_probs: Tensor, expected: Tensor) -> Tensor:
        """Cross-entropy with the parts of the steps."""
        # 0 times an infinite surprise is 0.
        return -torch.where(expected > 0, log_probs * expected, 0.0).sum(-1)

    def loss(self, log_probs: Tensor, expected: Tensor) -> float:
        return float(self.surprise(log_probs, expected).mean())

    def beside(self, others: Sequence[Readout]) -> None:
        return None
