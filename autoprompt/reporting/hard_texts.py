"""The validation texts that a search's best prompts most often got wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoprompt.ensemble.selection import stacked
from autoprompt.stored_search import StoredSearch

#: The best prompts that are asked which texts are hard, and how many such texts are shown.
WITNESSES, HARD_TEXTS = 50, 15


@dataclass(frozen=True)
class HardText:
    """A validation text that many of the best prompts got wrong.

    Attributes:
        wrong: the part of them that did.
        instead: what most of those said.
    """

    text: str
    expected: str
    instead: str
    wrong: float


def hard_texts(result: StoredSearch, texts: Sequence[str]) -> list[HardText]:
    """Most often wrong first.

    Args:
        texts: of the validation split; none where they are not to be shown.
    """
    answers, expected = result.answers, result.validation_labels
    prompts = result.prompts(limit=WITNESSES)
    decisions = answers.decided(stacked(prompts, answers))
    wrong = ~answers.correct(decisions, answers.right(expected))
    missed = wrong.mean(axis=0)
    rows = []
    for place in np.argsort(-missed, kind="stable")[:HARD_TEXTS]:
        if missed[place] > 0:
            own = decisions[wrong[:, place], place]
            others = Counter(answers.written(decision) for decision in own)
            rows.append(
                HardText(
                    text=texts[place] if texts else f"validation text {place + 1}",
                    expected=answers.spoken(expected[place]),
                    instead=others.most_common(1)[0][0],
                    wrong=float(missed[place]),
                )
            )
    return rows
