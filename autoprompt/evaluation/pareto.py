"""Which prompts are worth their tokens: the front of score against what they cost each text."""

from collections.abc import Sequence
from typing import Any

from autoprompt.store import TrialRecord
from autoprompt.workers.direction import Direction


def pareto(
    trials: Sequence[TrialRecord], direction: Direction, text_tokens: float | None
) -> list[dict[str, Any]]:
    """The trials that no other one matches in score with as few tokens, fewest tokens first.

    Args:
        trials: with scores to show, fewest tokens first; of as many tokens, the best first.
        text_tokens: of a text by itself, on the mean; None where that is not known.

    Returns:
        Of each the `trial`, its `kind` and its `score` on validation; `tokens`, that the model
        reads of each text's input beside the text's own; `rows`, of a KV prompt, which are
        attended to beside them and not read; and `input_tokens`, of a whole input, on the mean.
    """
    front: list[dict[str, Any]] = []
    for trial in trials:
        if trial.score is None or trial.tokens is None:
            continue
        if front and direction.oriented(trial.score) <= direction.oriented(front[-1]["score"]):
            continue
        front.append(
            {
                "trial": trial.number,
                "kind": trial.kind,
                "score": trial.score,
                "tokens": trial.tokens,
                "rows": trial.plan.get("length", 0) if trial.kind == "kv" else 0,
                "input_tokens": None if text_tokens is None else text_tokens + trial.tokens,
            }
        )
    return front
