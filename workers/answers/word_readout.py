"""Label words on a model: from the logits of tokens to scores of labels, the verbalizer at work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autoprompt.workers.answers.answers import Readout
from autoprompt.workers.text_states import TokenIds


@dataclass(frozen=True)
class Word:
    """A label's word, as the tokens it will stand as after the template."""

    label: int
    ids: TokenIds


class WordReadout(Readout):
    """Label words behind one question.

    Attributes:
        labels: the L labels, in the order of every [..., L] array.
        words: the words of all labels; of one token each where only the first is judged.
        mean: whether a word's log-probabilities are averaged over its tokens.
        kept: None where words have several tokens, as these are judged at different places.
    """

    def __init__(self, labels: Sequence[str], words: Sequence[Word], mean: bool = False) -> None:
        self.labels = tuple(labels)
        self.words = tuple(words)
        self.mean = mean
        self.size = len(self.labels)
        self.branches = tuple(word.ids[:-1] for word in words if len(word.ids) > 1)
        self.kept = None if self.branches else [word.ids[0] for word in words]
        self.spoken = tuple(word.ids for word in words)

    @property
    def starts(self) -> TokenIds:  # type: ignore[override]
        """The first token of each label's first word."""
        firsts: dict[int, int] = {}
        for word in self.words:
            firsts.setdefault(word.label, word.ids[0])
        return tuple(firsts[label] for label in range(self.size))

    def __call__(self, logits: Tensor) -> Tensor:
        """[..., L], whose softmax is the labels' probabilities."""
        words = logits[..., 0, :] if self.kept is not None else self._spelled(logits)
        scores = []
        for label in range(self.size):
            own = [index for index, word in enumerate(self.words) if word.label == label]
            # A label is as probable as all of its words together.
            scores.append(torch.logsumexp(words[..., own], dim=-1))
        return torch.stack(scores, dim=-1)

    def _spelled(self, logits: Tensor) -> Tensor:
        """[..., words]: each word's log-probability, token by token."""
        log_probs = torch.log_softmax(logits, dim=-1)
        place = 1
        words = []
        for word in self.words:
            parts = [log_probs[..., 0, word.ids[0]]]
            for token in word.ids[1:]:
                parts.append(log_probs[..., place, token])
                place += 1
            total = torch.stack(parts).sum(0)
            words.append(total / len(parts) if self.mean else total)
        return torch.stack(words, dim=-1)

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return torch.log_softmax(scores - prior, dim=-1)

    def prior(self, log_probs: Tensor) -> tuple[float, ...]:
        """The mean probability of each label, as a logarithm."""
        mean = torch.logsumexp(log_probs, dim=0) - torch.log(torch.tensor(float(len(log_probs))))
        return tuple(mean.tolist())

    def losses(self, scores: Tensor, expected: Tensor) -> Tensor:
        """Cross-entropy."""
        wanted = expected.expand(len(scores), -1)
        return torch.nn.functional.cross_entropy(scores.transpose(1, 2), wanted, reduction="none")

    def surprise(self, log_probs: Tensor, expected: Tensor) -> Tensor:
        wanted = expected.expand(log_probs.shape[:-1])
        return -log_probs.gather(-1, wanted[..., None])[..., 0]

    def loss(self, log_probs: Tensor, expected: Tensor) -> float:
        return float(torch.nn.functional.nll_loss(log_probs, expected))

    def as_dict(self) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "words": [{"label": word.label, "ids": word.ids} for word in self.words],
            "mean": self.mean,
        }

    def beside(self, others: Sequence[Readout]) -> "WordReadout | None":
        """Words of one token share a pass, whatever labels they stand for."""
        labels: list[str] = []
        words: list[Word] = []
        for readout in (self, *others):
            if not isinstance(readout, WordReadout) or readout.branches:
                return None
            words += [Word(len(labels) + word.label, word.ids) for word in readout.words]
            labels += readout.labels
        return WordReadout(labels, words)
