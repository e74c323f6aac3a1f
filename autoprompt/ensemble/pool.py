"""What a selection chooses from: candidates, what they say of the texts that judge them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.answers import Answers
from autoprompt.workers.combination import Combination
from autoprompt.workers.metric_functions import Labels
from autoprompt.workers.metrics import Metric
from autoprompt.workers.recalibration import Recalibration, recalibration
from autoprompt.workers.vote import Floats, Vote, vote_weights


@dataclass(frozen=True)
class Pool:
    """N candidates that differ from one another, best first.

    Attributes:
        log_probs: [N, B, L], what they say of the texts that judge: of validation, or of every
            labelled text by a prompt that did not learn it.
        labels: [B] or [B, L], what is right.
        answers: how a vote is decided.
        scores: [N], each one's on these texts, oriented: more is better.
        traits: [N], in what each may differ from others, such as its kind and its template, one
            after another; none where that is not known.
    """

    log_probs: Floats
    labels: NDArray[Any]
    scores: list[float]
    answers: Answers
    metric: Metric
    vote: Vote
    traits: Sequence[Sequence[Hashable]] = ()

    def judged(self, draws: Sequence[int], texts: Labels | None = None) -> float:
        """The oriented score of a vote of the drawn candidates, on all texts or some."""
        return self.metric.direction.oriented(self.metric.score(*self.voted(draws, texts)))

    def voted(
        self, draws: Sequence[int], texts: Labels | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What is right and what the drawn candidates predict, of all texts or some."""
        texts = np.arange(len(self.labels)) if texts is None else texts
        numbers, combination = self.combined(draws)
        log_probs = self.log_probs[numbers][:, texts]
        return self.labels[texts], combination.judged(self.answers, self.metric, log_probs)

    def combined(self, draws: Sequence[int]) -> tuple[list[int], Combination]:
        """Each candidate that was drawn, best first, and how they vote. Where the vote is stacked,
        they are chosen by the mean that they have: a fit for every draw would take too long."""
        numbers = sorted(set(draws))
        counts = [list(draws).count(number) for number in numbers]
        scores = [self.scores[number] for number in numbers]
        weights = vote_weights(self.vote, counts, scores, self.metric.direction)
        means = self.vote in ("mean", "stacked") and self.answers.categorical
        own = tuple(self.recalibrated[number] for number in numbers) if means else None
        return numbers, Combination(self.vote, tuple(weights), own)

    @cached_property
    def recalibrated(self) -> list[Recalibration]:
        """[N], how each candidate is recalibrated."""
        labels, biased = self.labels.tolist(), self.answers.biased
        return [recalibration(rows, labels, biased) for rows in self.log_probs]

    def halves(self) -> tuple[Labels, Labels]:
        """Two halves of the texts, each with half of every label, where there is one a text; always
        the same two."""
        shuffled = np.random.default_rng(0).permutation(len(self.labels))
        if not self.answers.categorical:
            return shuffled[::2], shuffled[1::2]
        by_label = shuffled[np.argsort(self.labels[shuffled], kind="stable")]
        return by_label[::2], by_label[1::2]
