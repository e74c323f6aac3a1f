"""Where an ensemble was wrong on one split: groups of its errors, and wrong texts with the members'
votes."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.evaluation.error_groups import (
    Group,
    by_cluster,
    by_label,
    by_length,
    by_word,
)
from autoprompt.workers.answers import Answers
from autoprompt.workers.metric_functions import Floats

#: Wrong texts that are listed.
_LISTED = 25


@dataclass(frozen=True)
class WrongText:
    """A text that the ensemble got wrong.

    Attributes:
        place: in its split, from 1.
        text: None where texts are not to be shown, or gone.
        votes: for each label that members gave it, their trials, or names of baselines, and how
            many members are of each: several, where prompts of folds vote.
    """

    place: int
    text: str | None
    expected: str
    decided: str
    votes: dict[str, dict[int | str, int]]


@dataclass(frozen=True)
class WhereWrong:
    """Errors on B texts of a split, in groups.

    Attributes:
        mendable: how many of the wrong texts one member or more had right.
        lengths, words, clusters: empty where there are too few texts, or they are gone; words also
            where none stands out.
        listed: wrong texts, those first that the most members got wrong; of many an even sample.
    """

    split: str
    texts: int
    wrong: int
    mendable: int
    labels: list[Group]
    lengths: list[Group]
    words: list[Group]
    clusters: list[Group]
    listed: list[WrongText]

    @property
    def groups(self) -> list[Group]:
        """All of them."""
        return [*self.labels, *self.lengths, *self.words, *self.clusters]


def where_wrong(
    split: str,
    answers: Answers,
    expected: NDArray[Any],
    decided: NDArray[Any],
    members: NDArray[Any],
    voters: Sequence[int | str],
    texts: Sequence[str] | None,
    *,
    shown: bool = True,
    states: Floats | None = None,
) -> WhereWrong:
    """Group the errors on B texts.

    Args:
        expected, decided: [B] or [B, L], what is right, and what the ensemble says.
        members: [N, B] or [N, B, L], what each member says; `voters` [N] their trials, or names
            of baselines.
        texts: [B]; None where they are gone.
        shown: whether a text or a word may be part of the result.
        states: [B, H], hidden states to cluster by; without any, texts are clustered by words.
    """
    wrong = ~answers.correct(decided, expected)
    right = answers.correct(members, expected).sum(axis=0)
    lengths, words, clusters = [], [], []
    if texts is not None:
        lengths = by_length(texts, wrong)
        words = by_word(texts, wrong) if shown else []
        clusters = by_cluster(texts, wrong, states, told=shown)
    listed = []
    hardest = sorted(np.flatnonzero(wrong).tolist(), key=lambda at: right[at])
    for place in hardest[:: -(-len(hardest) // _LISTED) or 1]:
        votes: dict[str, Counter[int | str]] = defaultdict(Counter)
        for voter, decision in zip(voters, members[:, place], strict=True):
            votes[answers.written(decision)][voter] += 1
        listed.append(
            WrongText(
                place=place + 1,
                text=texts[place] if texts is not None and shown else None,
                expected=answers.rightly(expected[place]),
                decided=answers.written(decided[place]),
                votes={label: dict(counts) for label, counts in votes.items()},
            )
        )
    return WhereWrong(
        split=split,
        texts=len(wrong),
        wrong=int(wrong.sum()),
        mendable=int((wrong & (right > 0)).sum()),
        labels=by_label(expected, decided, answers.names) if answers.categorical else [],
        lengths=lengths,
        words=words,
        clusters=clusters,
        listed=listed,
    )
