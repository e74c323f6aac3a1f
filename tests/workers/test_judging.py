"""Judging by budget: early rungs by a block of the validation texts, the last one by all."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from autoprompt.workers.blocks import Blocks, stratified
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners import Examples, Pack, Progress, tune
from autoprompt.workers.tuners.racing import Racing
from tests.workers.test_pack import HARD, LONG, MIXED, SHORT, SOFT, carried_out, reports
from tests.workers.test_tuners import RUNGS

SIZES = (8, 16)


@pytest.fixture
def parted(examples: Examples) -> Examples:
    order = stratified(examples.validation_labels.tolist(), seed=3)
    return replace(examples, blocks=Blocks(order, SIZES))


def expected(progress: Progress, scorer: Scorer, examples: Examples) -> tuple[float, torch.Tensor]:
    """A prompt's score and predictions, by the texts that should have judged it."""
    places = list(examples.judges(progress.judged))
    [log_probs] = scorer.log_probs([progress.prompt], [examples.validation[n] for n in places])
    labels = examples.validation_labels[places].numpy()
    metric = METRICS[examples.metric]
    return metric.score(labels, metric.predictions(log_probs.numpy())), log_probs


@pytest.mark.parametrize("plan", [SOFT, HARD, MIXED], ids=["soft", "hard", "mixed"])
def test_each_rung_is_judged_by_its_block_and_the_last_by_all(
    plan: Any, tiny_scorer: Scorer, parted: Examples
) -> None:
    rungs = list(tune(plan, tiny_scorer, parted, RUNGS))
    assert [progress.judged for progress in rungs] == [8, 16, None]
    assert [progress.ended for progress in rungs] == [False, False, True]
    for progress in rungs:
        score, log_probs = expected(progress, tiny_scorer, parted)
        assert progress.score == score
        torch.testing.assert_close(progress.log_probs, log_probs, atol=1e-4, rtol=1e-4)
        assert progress.prompt.text


def test_blocks_change_nothing_of_what_is_trained(
    tiny_scorer: Scorer, parted: Examples, examples: Examples
) -> None:
    part, whole = (list(tune(SOFT, tiny_scorer, texts, RUNGS)) for texts in (parted, examples))
    for one, other in zip(part, whole, strict=True):
        assert one.prompt.vectors is not None
        assert other.prompt.vectors is not None
        assert torch.equal(one.prompt.vectors, other.prompt.vectors)
    assert part[-1].score == whole[-1].score
    assert torch.equal(part[-1].log_probs, whole[-1].log_probs)


def test_a_better_prompt_of_an_earlier_rung_is_judged_by_this_ones_texts(
    tiny_scorer: Scorer, parted: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the first rung rounds make it better on validation, and all after it worse: a hard
    prompt's last rung is the first one's, judged by all."""
    rounds = iter(range(HARD.rounds))

    run = Racing.run

    def misled(self: Racing, candidates: Sequence[TokenIds], blocks: int) -> tuple[TokenIds, float]:
        _, loss = run(self, candidates, blocks)
        if () in candidates:
            return candidates[-1], loss
        prompts = [Prompt("", ids) for ids in candidates]
        losses = tiny_scorer.losses(prompts, parted.validation, parted.validation_labels)
        means = losses.mean(1) if next(rounds) < 2 else -losses.mean(1)
        return candidates[int(means.argmin())], loss

    monkeypatch.setattr(Racing, "run", misled)
    first, _, last = list(tune(HARD, tiny_scorer, parted, RUNGS))
    assert last.prompt.token_ids == first.prompt.token_ids
    assert (last.rung, last.step, last.judged) == (3, HARD.rounds, None)
    score, log_probs = expected(last, tiny_scorer, parted)
    assert last.score == score
    torch.testing.assert_close(last.log_probs, log_probs, atol=1e-4, rtol=1e-4)


def test_one_that_ends_by_patience_is_judged_by_all(tiny_scorer: Scorer, parted: Examples) -> None:
    still = SOFT.model_copy(update={"learning_rate": 1e-12})
    first, last = tune(still, tiny_scorer, parted, (0.25, 0.5, 0.75, 1.0), patience=1)
    assert (first.judged, last.judged, last.ended) == (8, None, True)
    score, log_probs = expected(last, tiny_scorer, parted)
    assert last.score == score
    torch.testing.assert_close(last.log_probs, log_probs, atol=1e-4, rtol=1e-4)


def test_plans_at_the_same_rung_are_judged_in_one_pass(
    tiny_scorer: Scorer, parted: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    score = Scorer.log_probs

    def counted(self: Scorer, prompts: Sequence[Any], texts: Sequence[Any], **how: Any) -> Any:
        asked.append((len(prompts), len(texts)))
        return score(self, prompts, texts, **how)

    monkeypatch.setattr(Scorer, "log_probs", counted)
    total = len(parted.validation)
    carried_out(Pack({0: SOFT, 1: LONG}, tiny_scorer, parted, RUNGS))
    assert asked == [(2, 8), (2, 16), (2, total)]
    asked.clear()
    # One at its first rung beside another at its second, of other texts.
    twice = SHORT.model_copy(update={"steps": 16})
    carried_out(Pack({0: SHORT, 1: twice}, tiny_scorer, parted, RUNGS))
    assert (2, total) not in asked
    assert sum(prompts * texts for prompts, texts in asked) == 2 * (8 + 16 + total)


def test_a_metric_that_needs_every_label_holds_on_a_block(
    tiny_scorer: Scorer, parted: Examples
) -> None:
    """Two positive texts among all of them: the smallest block has one."""
    labels = torch.zeros_like(parted.validation_labels)
    labels[[5, 17]] = 1
    order = stratified(labels.tolist(), seed=0)
    rare = replace(parted, validation_labels=labels, blocks=Blocks(order, (4, 8)), metric="auc")
    found = reports(carried_out(Pack({0: SOFT}, tiny_scorer, rare, RUNGS))[0])
    assert [progress.judged for progress in found] == [4, 8, None]
