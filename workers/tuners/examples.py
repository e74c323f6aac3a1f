"""The texts a trial may see, tokenized: train to learn from, validation to be judged by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from autoprompt.workers.blocks import Blocks
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.text_states import TokenIds


@dataclass(frozen=True)
class Examples:
    """Train and validation texts, and their labels as indices into the task's answers.

    Attributes:
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
        )
        if judging is None:
            return part
        return replace(
            part,
            validation=[self.train[place] for place in judging],
            validation_labels=self.train_labels[list(judging)],
            blocks=Blocks(),
        )

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
