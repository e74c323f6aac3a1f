"""What a choice is made from: the best prompts, each once, and the baselines that may vote beside
them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import BaselineRecord, Candidate
from autoprompt.workers.answers import Answers
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.metrics import Metric
from autoprompt.workers.vote import Floats

#: Candidates that a choice is made from, best first; and how many to look at for so many that
#: differ from one another.
POOL = 50
CANDIDATES = 4 * POOL

C = TypeVar("C", bound=Candidate)


def best_distinct(candidates: Sequence[C], size: int) -> list[C]:
    """The first `size` candidates that differ from one another, in the order given (best first)."""
    chosen: dict[str, C] = {}
    for candidate in candidates:
        if len(chosen) == size:
            break
        chosen.setdefault(candidate.digest, candidate)
    return list(chosen.values())


def best_first(candidates: Sequence[C]) -> list[C]:
    """By score, then by loss; of equals the ones before."""
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.loss))


def judged(
    candidate: C, said: Floats, labels: Sequence[int], answers: Answers, metric: Metric
) -> C:
    """A candidate with its predictions for the texts that judge it, its score and loss by these.

    Args:
        said: log-probabilities [B, L].
        labels: [B], what is right.
    """
    expected = np.array(labels)
    score = metric.score(expected, metric.predictions(said, answers.decided))
    right = np.take_along_axis(said, expected[:, None], axis=-1)
    return replace(
        candidate,
        score=metric.direction.oriented(score),
        loss=float(-right.mean()),
        log_probs=answers.packed(said.astype(np.float32)),
    )


def beside_baselines(
    prompts: Sequence[Candidate],
    baselines: Sequence[BaselineRecord],
    labels: Sequence[int],
    answers: Answers,
    metric: Metric,
) -> list[Candidate]:
    """Prompts and the baselines that can answer any text, best first: of equals prompts.

    Args:
        labels: [B], what is right of the texts that judge: of validation, or of all labelled texts,
            of which baselines say what they did not learn.

    Raises:
        BadInputError: a baseline has been judged by fewer texts, or answers are not one of several
            labels.
    """
    if baselines and not answers.categorical:
        raise BadInputError(
            f"baselines vote on answers of which one is right, and {answers.wording.answers} are "
            "not: choose among prompts (--members prompts)"
        )
    found = []
    for record in baselines:
        content, packed = record.content, record.log_probs
        if content is None or packed is None or BASELINES[record.name].does == "train":
            continue
        said = answers.unpacked(packed)[-len(labels) :]
        if len(said) < len(labels):
            raise BadInputError(
                f"baseline {record.name} was not fitted once a fold, as only a search with "
                "ensemble.members: any does: choose among its prompts (--members prompts)"
            )
        baseline = Candidate(
            number=None,
            kind="baseline",
            score=0.0,
            loss=0.0,
            digest=_digest(record.name, content),
            text=f"[{record.name.replace('_', ' ')}]",
            content=content,
            log_probs=packed,
            baseline=record.name,
        )
        found.append(judged(baseline, said, labels, answers, metric))
    return best_first([*prompts, *found])


def _digest(name: str, content: bytes) -> str:
    """A baseline's; of one that asks the model its prompt's, which a trial may have found too."""
    if BASELINES[name].does != "ask":
        return f"baseline {name}"
    # Imported here: what is stored is shown without waiting for torch.
    from autoprompt.workers.prompt import Prompt

    return Prompt.from_bytes(content).digest
