"""How far the members of an ensemble agree."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.answers import Answers
from autoprompt.workers.vote import Floats


def agreement(answers: Answers, decisions: NDArray[Any]) -> Floats:
    """[N, N], the part of the texts on which each two of the N members say the same.

    Args:
        decisions: [N, B] or [N, B, L], what each member decides.
    """
    return np.array(
        [[float(answers.same(one, other).mean()) for other in decisions] for one in decisions]
    )


def disagreement_error_ratio(
    answers: Answers, decisions: NDArray[Any], right: NDArray[Any]
) -> float | None:
    """Mean pairwise disagreement of N members over their mean error (Theisen et al. 2023): how much
    a vote of theirs can give. Below 1 it gives little; None where no member errs.

    Args:
        decisions: as `agreement` takes them.
        right: [B] or [B, L].
    """
    error = float(1 - answers.correct(decisions, right).mean())
    return None if error == 0 else (1 - mean_agreement(agreement(answers, decisions))) / error


def mean_agreement(pairs: Floats) -> float:
    """The mean over all pairs of different members; 1 for a single member."""
    count = len(pairs)
    return 1.0 if count == 1 else float((pairs.sum() - count) / (count * (count - 1)))
