"""Any population: prompts of any kinds, lengths and places, each on a batch of its own, are graded
side by side as each is alone."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoprompt.search_spaces import KVPlan, SoftPlan
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import lay, lay_rows
from autoprompt.workers.tuners import Examples, Pack
from autoprompt.workers.tuners.progress import Backward
from autoprompt.workers.tuners.training import Graded, grade
from tests.tiny import TEXTS
from tests.workers.test_frozen_model import parameters_digest
from tests.workers.test_kv import PLAN, SPELLED, WORDS, model, rows_like, scorer_of

__all__ = ["model"]  # a fixture: merged attention, and copied

COUNT = 12

members = st.tuples(
    st.sampled_from(["kv", "vectors"]),
    st.sampled_from(["end", "suffix"]),
    st.integers(1, 4),
    st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5),
)


def made(model: FrozenModel, seed: int, member: tuple[Any, ...]) -> Backward:
    kind, position, length, batch = member
    if kind == "kv":
        laid = lay_rows(rows_like(model, length, seed).requires_grad_(), position)
    else:
        generator = torch.Generator().manual_seed(seed)
        vectors = torch.randn(length, model.hidden_size, generator=generator) / 10
        laid = lay(vectors.requires_grad_(), position)
    return Backward(laid, batch)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(members, min_size=1, max_size=6), st.booleans())
def test_each_is_graded_as_it_is_alone(
    model: FrozenModel, population: list[tuple[Any, ...]], spelled: bool
) -> None:
    words = SPELLED if spelled else WORDS
    scorer = scorer_of(model, label_words=words, label_scoring="mean")
    scorer.family.expect({"end", "suffix"})
    texts = scorer.tokenize([row["text"] for row in TEXTS[:COUNT]])
    examples = Examples(texts, torch.arange(COUNT) % 2, [], torch.tensor([]))
    asked = [made(model, seed, member) for seed, member in enumerate(population)]
    together = grade(asked, scorer, examples)
    alone = [grade([one], scorer, examples)[0] for one in asked]
    for own, other in zip(together, alone, strict=True):
        assert own.loss == pytest.approx(other.loss, abs=1e-5)
        assert [part is None for part in own.gradient] == [part is None for part in other.gradient]
        for part, wanted in zip(gradients(own), gradients(other), strict=True):
            torch.testing.assert_close(part, wanted, atol=1e-5, rtol=1e-3)
            assert bool((part != 0).any())


def gradients(graded: Graded) -> list[torch.Tensor]:
    return [part for part in graded.gradient if part is not None]


def test_training_a_population_leaves_the_frozen_model_as_it_is(model: FrozenModel) -> None:
    before = parameters_digest(model)
    scorer = scorer_of(model)
    texts = scorer.tokenize([row["text"] for row in TEXTS[:COUNT]])
    labels = torch.arange(COUNT) % 2
    soft = SoftPlan(**PLAN.model_dump(exclude={"kind", "position"}), position="suffix")
    plans: dict[int, KVPlan | SoftPlan] = {
        number: plan.model_copy(update={"seed": number, "batch_size": 2 + number})
        for number, plan in enumerate([PLAN, soft, PLAN.model_copy(update={"position": "prefix"})])
    }
    pack = Pack(plans, scorer, Examples(texts, labels, texts, labels), (1.0,))
    while pack.numbers:
        for told in pack.advance():
            assert not isinstance(told.outcome, Exception), told.outcome
    assert parameters_digest(model) == before
