"""Label words on a model: from the logits of tokens to scores of labels, the verbalizer at work.

What words have read is a trie (`Readout.branches`): what they begin with alike is read once. Their
scores are looked up in tables by index, so that many labels cost a few operations.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autoprompt.workers.answers.answers import Readout
from autoprompt.workers.answers.one_right import OneRight
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.token_trie import TokenTrie
from autoprompt.workers.wording import LabelScoring


@dataclass(frozen=True)
class Word:
    """A label's word, as the tokens it will stand as after the template."""

    label: int
    ids: TokenIds


class WordReadout(OneRight):
    """Label words behind one question.

    With `sum` and `mean` a word's tokens have their probabilities among the whole vocabulary. With
    `tree` a token has it among those alone that go on a word in its place (the children of its node
    in the trie of all words), as constrained decoding would have it: it costs nothing where there
    is one. The labels' probabilities are then 1 together before anything is calibrated.

    Attributes:
        labels: the L labels, in the order of every [..., L] array.
        words: the words of all labels, as far as they are judged: of one token each where only the
            first one is; with `tree` up to the token that leaves a single label.
        scoring: how words of several tokens are judged.
        kept: None where a token is judged among all others.
    """

    def __init__(
        self, labels: Sequence[str], words: Sequence[Word], scoring: LabelScoring = "sum"
    ) -> None:
        self.labels = tuple(labels)
        self.scoring = scoring
        self.words = told_apart(words) if scoring == "tree" else tuple(words)
        self.size = len(self.labels)
        self.branches = TokenTrie.of(word.ids[:-1] for word in self.words)
        alone = scoring == "tree" or not self.branches
        tokens = (token for word in self.words for token in word.ids)
        self.kept = list(dict.fromkeys(tokens)) if alone else None
        self.spoken = tuple(word.ids for word in words)
        self._lookup = self._tables()

    @property
    def starts(self) -> TokenIds:  # type: ignore[override]
        """The first token of each label's first word."""
        firsts: dict[int, int] = {}
        for word in self.words:
            firsts.setdefault(word.label, word.ids[0])
        return tuple(firsts[label] for label in range(self.size))

    def __call__(self, logits: Tensor) -> Tensor:
        """[..., L], whose softmax is the labels' probabilities."""
        self._lookup = lookup = self._lookup.on(logits.device)
        if self.kept is None:
            logits = torch.log_softmax(logits, dim=-1)
        if lookup.children is not None:
            logits = torch.log_softmax(_cells(logits, lookup.children, -torch.inf), dim=-1)
        words = _cells(logits, lookup.steps, 0.0).sum(-1)
        if self.scoring == "mean":
            words = words / lookup.lengths
        # A label is as probable as all of its words together.
        own = words[..., lookup.own.clamp(min=0)].masked_fill(lookup.own < 0, -torch.inf)
        return torch.logsumexp(own, dim=-1)

    def _tables(self) -> "_Lookup":
        kept = {token: column for column, token in enumerate(self.kept or ())}
        # Where each of a word's tokens is asked for, and which it is among those asked for there.
        asked = [
            [
                (self.branches.places[word.ids[:at]] + 1, kept.get(token, token))
                for at, token in enumerate(word.ids)
            ]
            for word in self.words
        ]
        children = None
        if self.scoring == "tree":
            nodes: dict[int, dict[int, int]] = {}
            for place, column in itertools.chain(*asked):
                at = nodes.setdefault(place, {})
                at.setdefault(column, len(at))
            forks = [place for place in nodes if len(nodes[place]) > 1]
            children = _padded([[(place, column) for column in nodes[place]] for place in forks])
            rows = {place: row for row, place in enumerate(forks)}
            asked = [
                [(rows[place], nodes[place][column]) for place, column in steps if place in rows]
                for steps in asked
            ]
        own: list[list[int]] = [[] for _ in self.labels]
        for index, word in enumerate(self.words):
            own[word.label].append(index)
        return _Lookup(
            steps=_padded(asked),
            lengths=torch.tensor([len(word.ids) for word in self.words]),
            own=_padded(own),
            children=children,
        )

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return torch.log_softmax(scores - prior, dim=-1)

    def prior(self, log_probs: Tensor) -> tuple[float, ...]:
        """The mean probability of each label, as a logarithm."""
        mean = torch.logsumexp(log_probs, dim=0) - torch.log(torch.tensor(float(len(log_probs))))
        return tuple(mean.tolist())

    def as_dict(self) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "words": [{"label": word.label, "ids": word.ids} for word in self.words],
            "mean": self.scoring == "mean",
            "tree": self.scoring == "tree",
        }

    def beside(self, others: Sequence[Readout]) -> "WordReadout | None":
        """Words judged by one token share a pass, whatever labels they stand for."""
        labels: list[str] = []
        words: list[Word] = []
        for readout in (self, *others):
            if not isinstance(readout, WordReadout) or readout.branches:
                return None
            words += [Word(len(labels) + word.label, word.ids) for word in readout.words]
            labels += readout.labels
        return WordReadout(labels, words)


def told_apart(words: Sequence[Word]) -> tuple[Word, ...]:
    """Each word up to the token behind which its label alone remains; those that are then the same
    once.

    All that goes on from there is the label's, however it goes on, and is as probable as the token
    itself. No word of one label may begin a word of another.
    """
    labels: dict[TokenIds, set[int]] = {}
    for word in words:
        for end in range(1, len(word.ids) + 1):
            labels.setdefault(word.ids[:end], set()).add(word.label)
    ends = (
        next(end for end in range(1, len(word.ids) + 1) if len(labels[word.ids[:end]]) == 1)
        for word in words
    )
    cut = (Word(word.label, word.ids[:end]) for word, end in zip(words, ends, strict=True))
    return tuple(dict.fromkeys(cut))


@dataclass(frozen=True)
class _Lookup:
    """Where words are read off, as indices; -1 where there is none.

    Attributes:
        steps: [words, tokens, 2], row and column of each token of a word: places and kept tokens of
            the logits, or of `children` where there are any.
        lengths: [words], their tokens.
        own: [L, words], each label's.
        children: [nodes, tokens, 2], the tokens among which one is chosen, as places and kept
            tokens of the logits.
    """

    steps: Tensor
    lengths: Tensor
    own: Tensor
    children: Tensor | None

    def on(self, device: torch.device) -> "_Lookup":
        """The same on a device."""
        if self.steps.device == device:
            return self
        children = None if self.children is None else self.children.to(device)
        return _Lookup(
            self.steps.to(device), self.lengths.to(device), self.own.to(device), children
        )


def _padded(rows: Sequence[Sequence[int] | Sequence[tuple[int, int]]]) -> Tensor:
    """Rows of indices, or of pairs of them, filled up with -1 to the longest."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=-1)


def _cells(table: Tensor, at: Tensor, otherwise: float) -> Tensor:
    """[..., rows, columns] at pairs [M, S, 2] of row and column: [..., M, S]."""
    row, column = at.clamp(min=0).unbind(-1)
    return table[..., row, column].masked_fill(at[..., 0] < 0, otherwise)
