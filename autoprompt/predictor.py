"""Text in, label out: the members of an ensemble vote beside the frozen model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autoprompt.config import SearchConfig
from autoprompt.ensemble import cast_votes
from autoprompt.store import PromptRecord, SearchRecord
from workers.prompt import Prompt
from workers.scoring import Scorer, load_scorer


@dataclass(frozen=True)
class Prediction:
    """The label of one text.

    Attributes:
        probability: of that label, the members' mean.
        votes: the part of the votes it got, 0 to 1.
    """

    text: str
    label: str
    probability: float
    votes: float


class Predictor:
    """One frozen model, one task, N prompts."""

    def __init__(self, scorer: Scorer, prompts: Sequence[Prompt], weights: Sequence[float]) -> None:
        self._scorer = scorer
        self._prompts = list(prompts)
        self._weights = list(weights)

    @classmethod
    def of(
        cls, search: SearchRecord, members: Sequence[PromptRecord], weights: Sequence[float]
    ) -> "Predictor":
        """The predictor of a stored search.

        Args:
            weights: [N], what each member's vote counts.

        Raises:
            ModelError: the model is no longer where it was.
        """
        config = SearchConfig.model_validate(search.config)
        return cls(
            load_scorer(config.model, config.task, config.space.longest_prompt()),
            [Prompt.from_bytes(member.content) for member in members],
            weights,
        )

    def predict(
        self, texts: Sequence[str], advance: Callable[[int], None] = lambda done: None
    ) -> list[Prediction]:
        """Label texts, in the order given.

        Args:
            advance: called with the number of texts done since the last call.
        """
        if not texts:
            return []
        stripped = [text.strip() for text in texts]
        log_probs = self._scorer.score_texts(self._prompts, stripped, advance).numpy()
        ballot = cast_votes(log_probs, self._weights)
        probabilities = np.exp(log_probs).mean(axis=0)
        labels = self._scorer.task.labels
        return [
            Prediction(
                text=text,
                label=labels[label],
                probability=float(probabilities[row, label]),
                votes=float(ballot.shares[row, label]),
            )
            for row, (text, label) in enumerate(zip(texts, ballot.labels, strict=True))
        ]
