"""One suite over every kind of prompt's tuner, and one that a single file adds."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Progress, tune
from autoprompt.workers.tuners.kinds import TUNERS
from autoprompt.workers.tuners.progress import AtRung, rungs_by_step
from tests.workers.test_kv import PLAN as KV
from tests.workers.test_pack import HARD, MIXED, SOFT

RUNGS = (0.25, 0.5, 1.0)
PLANS = {plan.kind: plan for plan in (SOFT, HARD, MIXED, KV)}


def conforms(plan: AnyPlan, scorer: Scorer, examples: Examples) -> list[Progress]:
    """Every rung is reported once and in order, the last one at the end of the budget; what is
    reported can be kept, and the same plan reports the same again."""
    progress = list(tune(plan, scorer, examples, RUNGS))
    assert [one.rung for one in progress] == [1, 2, 3]
    assert [one.step for one in progress] == sorted({one.step for one in progress})
    assert progress[-1].step == plan.budget
    assert [one.ended for one in progress] == [False, False, True]
    for one in progress:
        assert Prompt.from_bytes(one.prompt.to_bytes()).digest == one.prompt.digest
        assert one.log_probs.shape == (len(examples.validation), scorer.task.readout.size)
        assert torch.allclose(one.log_probs.exp().sum(-1), torch.ones(len(examples.validation)))
        assert one.gradient_norm is None or one.gradient_norm >= 0
    again = list(tune(plan, scorer, examples, RUNGS))
    assert [one.prompt.digest for one in again] == [one.prompt.digest for one in progress]
    return progress


def test_every_kind_is_held_by_the_suite() -> None:
    assert list(TUNERS) == list(PLANS)


@pytest.mark.parametrize("kind", list(PLANS))
def test_those_that_ship_conform(kind: str, tiny_scorer: Scorer, examples: Examples) -> None:
    progress = conforms(PLANS[kind], tiny_scorer, examples)
    assert all(one.gradient_norm for one in progress)


def tune_words(
    plan: Any, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Iterator[AtRung]:
    """A tuner in one file: of a plan's steps, each tries another token; it asks for no gradient."""
    for step, rung in rungs_by_step(plan.steps, fractions).items():
        yield AtRung(rung, step, Prompt("word", (step + 3,)), [0.5])


def test_one_that_a_file_adds_is_carried_out(
    tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TUNERS, "_entries", {**TUNERS._entries})
    TUNERS.add("words", tune_words)  # type: ignore[arg-type]
    plan = SOFT.model_copy(update={"kind": "words"})
    progress = conforms(plan, tiny_scorer, examples)
    assert [one.gradient_norm for one in progress] == [None] * 3
