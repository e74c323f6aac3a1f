"""Plans that share a worker: their prompts come out as they would have by themselves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from autoprompt.search_spaces import AnyPlan, MixedPlan
from autoprompt.workers.batches import TokenBudget
from autoprompt.workers.device_errors import DeviceBrokenError
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Pack, Progress, Told, TrialDivergedError, pack, tune
from autoprompt.workers.tuners.progress import Backward
from autoprompt.workers.tuners.training import Graded
from tests.workers import test_tuners
from tests.workers.test_tuners import RUNGS

SOFT = test_tuners.SOFT.model_copy(update={"data_seed": 9, "steps": 12})
LONG = SOFT.model_copy(update={"seed": 2, "length": 7, "optimizer": "adafactor", "warmup": 0.0})
SHORT = SOFT.model_copy(update={"seed": 3, "length": 1, "steps": 8})
PREFIX = SOFT.model_copy(update={"seed": 4, "position": "prefix"})
HARD = test_tuners.HARD.model_copy(
    update={"seed": 5, "data_seed": 9, "candidates": 6, "rounds": 6, "batch_size": 16}
)
MIXED = MixedPlan(
    seed=6,
    data_seed=9,
    length=2,
    init="vocabulary",
    learning_rate=0.05,
    steps=12,
    batch_size=16,
    layout="{text}{soft}{hard}",
    tokens=2,
    start="in short",
    candidates=4,
    swap_every=4,
)
OTHER_ORDER = SOFT.model_copy(update={"seed": 7, "data_seed": 10})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many prompts each pass trained."""
    counts: list[int] = []
    grade = pack.grade

    def counted(asked: Sequence[Backward], *others: Any) -> list[Graded]:
        counts.append(len(asked))
        return grade(asked, *others)

    monkeypatch.setattr(pack, "grade", counted)
    return counts


def carried_out(together: Pack) -> dict[int, list[Told]]:
    found: dict[int, list[Told]] = {number: [] for number in together.numbers}
    while together.numbers:
        for told in together.advance():
            found[told.number].append(told)
    return found


def reports(told: Sequence[Told]) -> list[Progress]:
    outcomes = [each.outcome for each in told]
    assert all(isinstance(outcome, Progress) for outcome in outcomes), outcomes
    return outcomes  # type: ignore[return-value]


def test_prompts_trained_together_are_those_trained_alone(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    plans: list[AnyPlan] = [SOFT, LONG, SHORT, PREFIX, HARD, MIXED, OTHER_ORDER]
    alone = [list(tune(plan, tiny_scorer, examples, RUNGS)) for plan in plans]
    together = carried_out(Pack(dict(enumerate(plans)), tiny_scorer, examples, RUNGS))
    for number, expected in enumerate(alone):
        found = reports(together[number])
        assert [(each.rung, each.step, each.ended) for each in found] == [
            (each.rung, each.step, each.ended) for each in expected
        ]
        for one, other in zip(found, expected, strict=True):
            assert one.prompt.token_ids == other.prompt.token_ids
            assert one.train_loss == pytest.approx(other.train_loss, abs=1e-4)
            torch.testing.assert_close(one.log_probs, other.log_probs, atol=1e-4, rtol=1e-4)
            if other.prompt.vectors is not None:
                assert one.prompt.vectors is not None
                torch.testing.assert_close(
                    one.prompt.vectors, other.prompt.vectors, atol=1e-4, rtol=1e-3
                )


def test_one_pass_a_step_trains_all_that_go_over_cached_texts(
    tiny_scorer: Scorer, examples: Examples, passes: list[int]
) -> None:
    tiny_scorer.step_budget = TokenBudget(1 << 20)
    few = LONG.model_copy(update={"batch_size": 3})
    plans = {0: SOFT, 1: LONG, 2: MIXED, 3: OTHER_ORDER, 4: few}
    carried_out(Pack(plans, tiny_scorer, examples, RUNGS))
    assert passes == [5] * 12


def test_what_cannot_share_a_pass_has_its_own(
    tiny_scorer: Scorer, examples: Examples, passes: list[int]
) -> None:
    carried_out(Pack({0: SOFT, 1: PREFIX, 2: LONG}, tiny_scorer, examples, RUNGS))
    assert sorted(passes) == [1] * 12 + [2] * 12


def test_a_step_of_many_tokens_is_made_in_several_passes(
    tiny_scorer: Scorer, examples: Examples, passes: list[int]
) -> None:
    tail = len(tiny_scorer.task.question.tail_ids)
    tiny_scorer.step_budget = TokenBudget(2 * 16 * (SOFT.length + tail))
    carried_out(Pack(dict.fromkeys(range(5), SOFT), tiny_scorer, examples, RUNGS))
    assert passes == [2, 2, 1] * 12


def test_one_that_is_added_later_comes_out_as_by_itself(
    tiny_scorer: Scorer, examples: Examples, passes: list[int]
) -> None:
    together = Pack({0: SOFT}, tiny_scorer, examples, RUNGS)
    assert [told.number for told in together.advance()] == [0]
    together.add({1: OTHER_ORDER, 2: HARD})
    found = carried_out(together)
    for number, plan in ((1, OTHER_ORDER), (2, HARD)):
        *_, alone = tune(plan, tiny_scorer, examples, RUNGS)
        last = reports(found[number])[-1]
        assert (last.step, last.ended) == (alone.step, True)
        torch.testing.assert_close(last.log_probs, alone.log_probs, atol=1e-4, rtol=1e-4)
    assert max(passes) == 3


def test_one_whose_numbers_are_none_spoils_no_other(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    """A mask hides what is far from a text, but not what is no number."""
    spoilt = Prompt("", vectors=torch.full((2, tiny_scorer.model.hidden_size), torch.nan))
    examples = replace(examples, earlier={"spoilt": spoilt})
    wild = SOFT.model_copy(update={"init": "prompt", "init_prompt": "spoilt"})
    together = carried_out(Pack({4: SOFT, 5: wild, 6: LONG}, tiny_scorer, examples, RUNGS))
    [told] = together[5]
    assert isinstance(told.outcome, TrialDivergedError)
    [alone] = tune(SOFT, tiny_scorer, examples, (1.0,))
    last = reports(together[4])[-1]
    torch.testing.assert_close(last.log_probs, alone.log_probs, atol=1e-4, rtol=1e-4)
    assert reports(together[6])[-1].ended


def test_one_that_is_dropped_costs_no_more(
    tiny_scorer: Scorer, examples: Examples, passes: list[int]
) -> None:
    together = Pack({0: SOFT, 1: LONG}, tiny_scorer, examples, RUNGS)
    assert [told.number for told in together.advance()] == [0, 1]
    together.drop([1])
    assert together.numbers == [0]
    assert set(carried_out(together)) == {0}
    assert passes == [2] * 3 + [1] * 9


def test_patience_is_each_ones_own(tiny_scorer: Scorer, examples: Examples) -> None:
    still = SOFT.model_copy(update={"learning_rate": 1e-12})
    together = Pack({0: still, 1: LONG}, tiny_scorer, examples, (0.25, 0.5, 0.75, 1.0), patience=1)
    found = carried_out(together)
    assert [each.rung for each in reports(found[0])] == [1, 2]
    assert reports(found[0])[-1].ended


def test_a_hard_trials_rungs_report_the_best_so_far(
    tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch prefers may be worse on validation, and is on the way of this plan."""
    fractions = tuple(part / 8 for part in range(1, 9))
    plan = HARD.model_copy(update={"rounds": 8, "batch_size": 4})
    seen: list[Progress] = []
    judged = pack.judged

    def watched(*arguments: Any) -> list[Any]:
        outcomes = judged(*arguments)
        seen.extend(outcomes)
        return outcomes

    monkeypatch.setattr(pack, "judged", watched)
    told = list(tune(plan, tiny_scorer, examples, fractions))
    assert [each.rung for each in told] == list(range(1, 9))
    assert [each.train_loss for each in told] == [each.train_loss for each in seen]
    merits = [each.merit for each in seen]
    assert merits != sorted(merits), "no rung was worse than one before it"
    for rung, each in enumerate(told, 1):
        best = max(seen[:rung], key=lambda one: one.merit)
        assert each.merit == best.merit
        assert each.prompt.digest == best.prompt.digest
        assert torch.equal(each.log_probs, best.log_probs)


def test_vectors_are_named_where_they_are_the_best_so_far(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    still = SOFT.model_copy(update={"learning_rate": 1e-12})
    first, *others = tune(still, tiny_scorer, examples, RUNGS)
    assert first.prompt.text.startswith("[4 virtual tokens near: ")
    assert [each.prompt.text for each in others] == ["[4 virtual tokens]"] * 2


def test_a_pass_too_large_for_memory_is_halved(
    tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade = pack.grade

    def short_of_memory(asked: Sequence[Backward], *others: Any) -> list[Graded]:
        if sum(request.laid.tokens for request in asked) > 5:
            raise torch.OutOfMemoryError("a single text is too large")
        return grade(asked, *others)

    monkeypatch.setattr(pack, "grade", short_of_memory)
    before = tiny_scorer.step_budget.tokens
    together = carried_out(Pack({0: SOFT, 1: LONG, 2: SHORT}, tiny_scorer, examples, RUNGS))
    assert tiny_scorer.step_budget.tokens < before
    [told] = together[1]
    assert isinstance(told.outcome, torch.OutOfMemoryError)
    assert reports(together[0])[-1].ended
    assert reports(together[2])[-1].ended


@pytest.mark.parametrize("stage", ["family.reuses", "label_logits", "logits_of", "log_probs"])
def test_a_broken_device_is_no_plans_failure(
    stage: str, tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it breaks at: the passes' plan, a step or the judging."""

    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    *parts, name = stage.split(".")
    monkeypatch.setattr(tiny_scorer.family if parts else tiny_scorer, name, broken)
    # Of two, a pass has several batches; of one, it has one.
    plans = {0: SOFT} if stage == "label_logits" else {0: SOFT, 1: OTHER_ORDER}
    together = Pack(plans, tiny_scorer, examples, RUNGS)
    with pytest.raises(DeviceBrokenError, match="illegal memory access"):
        together.advance()
    assert together.numbers == list(plans), "all are under way"


def test_what_fails_before_a_pass_is_told_of_all(
    tiny_scorer: Scorer, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no text can be read")

    monkeypatch.setattr(tiny_scorer.family, "reuses", fail)
    together = carried_out(Pack({0: SOFT, 1: PREFIX}, tiny_scorer, examples, RUNGS))
    for number in (0, 1):
        [told] = together[number]
        assert str(told.outcome) == "no text can be read"
