"""The texts a trial may see, tokenized: train to learn from, validation to be judged by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprompt.workers.answers import Answers
from autoprompt.workers.blocks import Blocks
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.text_states import TokenIds


@dataclass(frozen=True)
class Examples:
    """Train and validation texts, and what is right of each.

    Attributes:
        train_labels, validation_labels: as the readout's `targets` has them, [B, ...].
        right: of the train and of the validation texts, as metrics take them; None where that is
            what `targets` has.
        weights: [B], what the loss of each train text counts; None for all alike.
        spoken: of each train text, its right answer as it is said behind it; none where that is
            known by its label.
        metric: what prompts are judged by.
        earlier: the prompts of earlier searches that a soft trial may start from, by name.
        blocks: which of the validation texts judge a rung.
        places: where the train texts stand among those of the whole, of which this is a part; None
            where it is the whole.
        writer: where the model that rewrites instructions lies; None where plans name it.
    """

    train: list[TokenIds]
    train_labels: Tensor
    validation: list[TokenIds]
    validation_labels: Tensor
    earlier: Mapping[str, Prompt] = field(default_factory=dict)
    metric: str = "accuracy"
    blocks: Blocks = field(default_factory=Blocks)
    places: Sequence[int] | None = None
    writer: str | None = None
    right: tuple[NDArray[Any], NDArray[Any]] | None = None
    spoken: Sequence[str] = ()
    weights: Tensor | None = None

    def part(self, learnt: Sequence[int], judging: Sequence[int] | None = None) -> "Examples":
        """What a trial may see that learns from the train texts at some places alone.

        Args:
            judging: places of the train texts that judge it; None for the validation texts.
        """
        part = replace(
            self,
            train=[self.train[place] for place in learnt],
            train_labels=self.train_labels[list(learnt)],
            places=learnt,
            right=self.right and (self.right[0][list(learnt)], self.right[1]),
            weights=None if self.weights is None else self.weights[list(learnt)],
            spoken=self.spoken and [self.spoken[place] for place in learnt],
        )
        if judging is None:
            return part
        return replace(
            part,
            validation=[self.train[place] for place in judging],
            validation_labels=self.train_labels[list(judging)],
            right=self.right and (self.right[0][list(learnt)], self.right[0][list(judging)]),
            blocks=Blocks(),
        )

    def expected(self, places: Sequence[int]) -> NDArray[Any]:
        """What is right of the validation texts at some places, as metrics take it."""
        if self.right is None:
            return self.validation_labels[list(places)].numpy()
        return self.right[1][list(places)]

    def said(self, place: int, answers: Answers) -> str:
        """The right answer to a train text, as it is said behind it."""
        if self.spoken:
            return self.spoken[place]
        return answers.spoken(int(self.train_labels[place]))

    def in_whole(self, batch: list[int]) -> list[int]:
        """Indices of train texts, as the whole counts them."""
        return batch if self.places is None else [self.places[index] for index in batch]

    def judges(self, count: int | None) -> Sequence[int]:
        """The places of the validation texts in a block of so many; None for all, as they come."""
        return range(len(self.validation)) if count is None else self.blocks.order[:count]

    def train_batches(self, size: int, seed: int) -> Iterator[list[int]]:
        """Endless batches of train indices: every text once in each epoch, shuffled by `seed`."""
        generator = torch.Generator().manual_seed(seed)
        waiting: list[int] = []
        while True:
            while len(waiting) < size:
                waiting += torch.randperm(len(self.train), generator=generator).tolist()
            batch, waiting = waiting[:size], waiting[size:]
            yield batch
