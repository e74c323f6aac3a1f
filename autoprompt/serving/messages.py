"""What goes between those who take requests and the replicas that answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoprompt.workers.rows import Text


@dataclass(frozen=True)
class ServedSearch:
    """One search, as `GET /v1/searches` tells of it.

    Attributes:
        name: by which requests ask for it.
        id: in the store.
        answers: the kind of answers.
        labels: in their order; empty where answers are free.
        columns: what is read of a row; a text alone will do where it is one.
        members: how many vote.
        vote: how.
        abstains: whether it may give no label.
    """

    name: str
    id: int
    answers: str
    labels: list[str]
    columns: list[str]
    members: int
    vote: str
    abstains: bool


@dataclass(frozen=True)
class Asked:
    """A search's name, and texts for it to label."""

    search: str
    texts: Sequence[Text]


@dataclass(frozen=True)
class Labelled:
    """What a request is answered.

    Attributes:
        predictions: as plain values, in the order of its texts.
        refusal: why there are none; None where there are.
    """

    predictions: list[Mapping[str, Any]]
    refusal: str | None = None
