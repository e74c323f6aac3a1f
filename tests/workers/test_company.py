"""Prompts trained to err differently: the formula, and what their company makes of them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.batches import TokenBudget
from autoprompt.workers.prompt import Prompt, lay
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Pack
from autoprompt.workers.tuners.company import Company
from autoprompt.workers.tuners.progress import Backward
from autoprompt.workers.tuners.training import in_company
from tests.workers.test_pack import HARD, LONG, PREFIX, SHORT, SOFT, carried_out, reports

ALL = slice(None)


def losses_of(weight: float, logits: Tensor, expected: Tensor) -> list[Tensor]:
    """[N] of [B], each beside the others."""
    said = torch.log_softmax(logits, dim=-1)
    company = Company.of(weight, said.detach())
    rows = [-own[range(len(expected)), expected] for own in said]
    return [company.apart(row, own, ALL) for row, own in zip(rows, said, strict=True)]


def test_gradients_are_the_formulas() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.tensor([0, 3, 1, 1, 2])
    losses = torch.stack(losses_of(0.3, logits, expected))
    losses.sum().backward()
    said = logits.detach().log_softmax(-1)
    right = torch.nn.functional.one_hot(expected, 4)
    joint = said.mean(0).softmax(-1)
    torch.testing.assert_close(logits.grad, said.exp() - right - 0.3 * (said.exp() - joint))
    plain = -said[:, range(5), expected]
    torch.testing.assert_close(losses.detach(), plain)


def test_at_1_it_is_the_joint_answer_that_learns() -> None:
    torch.manual_seed(1)
    logits = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.tensor([0, 3, 1, 1, 2])
    torch.stack(losses_of(1.0, logits, expected)).mean(0).sum().backward()
    together = logits.detach().clone().requires_grad_()
    joint = together.log_softmax(-1).mean(0).log_softmax(-1)
    (-joint[range(5), expected]).sum().backward()
    torch.testing.assert_close(logits.grad, together.grad)


def test_the_joint_answer_is_of_the_batch_as_it_stands(
    tiny_scorer: Scorer, examples: Examples
) -> None:
    """Whatever order memory and padding have its texts in."""
    batch = sorted(range(8), key=lambda place: -len(examples.train[place]))
    torch.manual_seed(0)
    vectors = [torch.randn(3, tiny_scorer.model.hidden_size) for _ in range(2)]
    asked = {number: Backward(lay(own, "suffix"), batch) for number, own in enumerate(vectors)}
    steps = in_company(asked, {0: 1, 1: 1}, 0.5, tiny_scorer, examples)
    texts = [examples.train[place] for place in batch]
    assert len({len(text) for text in texts}) > 1
    said = tiny_scorer.log_probs([Prompt("", vectors=own) for own in vectors], texts)
    for step in steps.values():
        assert step.company is not None
        torch.testing.assert_close(step.company.joint, said.mean(0).log_softmax(-1))


def ends(
    plans: Mapping[int, AnyPlan], scorer: Scorer, examples: Examples, weight: float
) -> dict[int, Prompt]:
    """What plans that are carried out beside one another come to."""
    told = carried_out(Pack(plans, scorer, examples, (1.0,), weight=weight))
    return {number: reports(own)[-1].prompt for number, own in told.items()}


def test_company_makes_prompts_disagree(tiny_scorer: Scorer, examples: Examples) -> None:
    plans = {0: SOFT, 1: LONG, 2: SOFT.model_copy(update={"seed": 8})}

    def apart(weight: float) -> float:
        """How far what each says of the train texts lies from what all do, in nats."""
        prompts = list(ends(plans, tiny_scorer, examples, weight).values())
        said = tiny_scorer.log_probs(prompts, examples.train)
        joint = said.mean(0).log_softmax(-1)
        return float((joint.exp() * (joint - said)).sum(-1).mean())

    assert apart(0.9) > 1.5 * apart(0.0)


def test_without_company_a_weight_changes_nothing(tiny_scorer: Scorer, examples: Examples) -> None:
    """Words, other batches and another order of the texts are none."""
    few = LONG.model_copy(update={"batch_size": 3})
    other = SHORT.model_copy(update={"data_seed": 10})
    plans: dict[int, AnyPlan] = {0: SOFT, 1: few, 2: other, 3: HARD}
    plain, weighed = (ends(plans, tiny_scorer, examples, weight) for weight in (0.0, 1.0))
    assert {n: own.digest for n, own in plain.items()} == {
        n: own.digest for n, own in weighed.items()
    }


def test_those_of_another_fold_are_no_company(tiny_scorer: Scorer, examples: Examples) -> None:
    """Even where they happen to be trained on the same batches."""
    found = []
    for weight in (0.0, 1.0):
        together = Pack({0: SOFT}, tiny_scorer, examples, (1.0,), weight=weight)
        together.add({1: LONG}, replace(examples))
        found.append(
            {n: reports(own)[-1].prompt.digest for n, own in carried_out(together).items()}
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("tokens", [1, 1 << 20])
def test_company_is_the_same_whichever_passes_there_is_room_for(
    tokens: int, tiny_scorer: Scorer, examples: Examples
) -> None:
    plans: dict[int, AnyPlan] = {0: SOFT, 1: LONG, 2: PREFIX}
    usual = ends(plans, tiny_scorer, examples, 0.8)
    tiny_scorer.step_budget = TokenBudget(tokens)
    tiny_scorer.training_budget = TokenBudget(tokens)
    found = ends(plans, tiny_scorer, examples, 0.8)
    for number, prompt in usual.items():
        assert prompt.vectors is not None
        torch.testing.assert_close(found[number].vectors, prompt.vectors, atol=1e-4, rtol=1e-3)
    alone = ends({0: SOFT}, tiny_scorer, examples, 0.8)[0]
    assert not torch.allclose(alone.vectors, usual[0].vectors, atol=1e-3)  # type: ignore[arg-type]


def test_a_company_is_told_of_at_once(tiny_scorer: Scorer, examples: Examples) -> None:
    """Also of what failed and of what ended before: were it told and the worker died, the others
    would begin again without it."""
    spoilt = Prompt("", vectors=torch.full((2, tiny_scorer.model.hidden_size), torch.nan))
    examples = replace(examples, earlier={"spoilt": spoilt})
    wild = SOFT.model_copy(update={"init": "prompt", "init_prompt": "spoilt"})
    together = Pack({4: SOFT, 5: wild, 6: SHORT}, tiny_scorer, examples, (1.0,), weight=0.5)
    told = together.advance()
    assert sorted(each.number for each in told) == [4, 5, 6]
    assert together.numbers == []
    failed = {each.number for each in told if isinstance(each.outcome, Exception)}
    assert failed == {5}
    assert together.advance() == []
