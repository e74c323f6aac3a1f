"""The texts a trial may see, tokenized: train to learn from, validation to be judged by."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.text_cache import TokenIds


@dataclass(frozen=True)
class Examples:
    """Train and validation texts, and their labels as indices into the task's labels."""

    train: list[TokenIds]
    train_labels: Tensor
    validation: list[TokenIds]
    validation_labels: Tensor

    def train_batches(self, size: int, generator: torch.Generator) -> Iterator[list[int]]:
        """Endless batches of train indices: every text once in each shuffled epoch."""
        waiting: list[int] = []
        while True:
            while len(waiting) < size:
                waiting += torch.randperm(len(self.train), generator=generator).tolist()
            batch, waiting = waiting[:size], waiting[size:]
            yield batch
