"""What a selection chooses from: candidates, what they say of validation, and what is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.answers import Answers
from autoprompt.workers.metric_functions import Labels
from autoprompt.workers.metrics import Metric
from autoprompt.workers.vote import Floats, Vote, vote_weights


@dataclass(frozen=True)
class Pool:
    """N candidates that differ from one another, best first.

    Attributes:
        log_probs: [N, B, L], what they say of the validation texts.
        labels: [B], what is right.
        answers: how a vote is decided.
        scores: [N], each one's on validation, oriented: more is better.
    """

    log_probs: Floats
    labels: Labels
    scores: list[float]
    answers: Answers
    metric: Metric
    vote: Vote

    def judged(self, draws: Sequence[int], texts: Labels | None = None) -> float:
        """The oriented score of a vote of the drawn candidates, on all texts or some."""
        return self.metric.direction.oriented(self.metric.score(*self.voted(draws, texts)))

    def voted(
        self, draws: Sequence[int], texts: Labels | None = None
    ) -> tuple[Labels, NDArray[Any]]:
        """What is right and what the drawn candidates predict, of all texts or some."""
        texts = np.arange(len(self.labels)) if texts is None else texts
        numbers, weights = self.weighed(draws)
        log_probs = self.log_probs[numbers][:, texts]
        return self.labels[texts], self.answers.vote_judged(self.metric, log_probs, weights)

    def weighed(self, draws: Sequence[int]) -> tuple[list[int], list[float]]:
        """Each candidate that was drawn, best first, and the weight of its vote."""
        numbers = sorted(set(draws))
        counts = [list(draws).count(number) for number in numbers]
        scores = [self.scores[number] for number in numbers]
        return numbers, vote_weights(self.vote, counts, scores, self.metric.direction)

    def halves(self) -> tuple[Labels, Labels]:
        """Two halves of the texts, each with half of every label; always the same two."""
        shuffled = np.random.default_rng(0).permutation(len(self.labels))
        by_label = shuffled[np.argsort(self.labels[shuffled], kind="stable")]
        return by_label[::2], by_label[1::2]
