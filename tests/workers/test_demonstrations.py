"""Demonstrations: chosen from the train texts, kept out of training, and read once for all."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

from autoprompt.search_spaces import HardPlan, KVPlan, SoftPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.data import Split
from autoprompt.workers.demonstrations import Pool, chosen, demonstrated, fits
from autoprompt.workers.prompt import Prompt, kv_prompt, soft_prompt
from autoprompt.workers.rows import Row
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.tuners import Examples, tune
from autoprompt.workers.wording import Wording
from tests.tiny import TEXTS

TRAIN = Split(
    tuple(row["text"] for row in TEXTS), tuple(int(row["label"] == "positive") for row in TEXTS)
)
PLAN = HardPlan(seed=0, searcher="none", demonstrations=4)


def shown(scorer: Scorer, count: int, seed: int = 0) -> Scorer:
    """The scorer of a template with so many demonstrations before it."""
    plan = PLAN.model_copy(update={"demonstrations": count, "seed": seed})
    places = chosen(plan, Pool(scorer, TRAIN))
    labelled = [(TRAIN.texts[place], TRAIN.labels[place]) for place in places]
    return scorer.reworded(demonstrated(scorer.wording, labelled))


@pytest.mark.parametrize("choose", ["random", "central"])
def test_they_are_balanced_and_follow_from_the_seed(choose: str, tiny_scorer: Scorer) -> None:
    plan = PLAN.model_copy(update={"choose": choose, "demonstrations": 6})
    pool = Pool(tiny_scorer, TRAIN)
    first = chosen(plan, pool)
    assert Counter(TRAIN.labels[place] for place in first) == {0: 3, 1: 3}
    assert len(set(first)) == 6
    # Whatever was read in between.
    tiny_scorer.log_probs([Prompt("")], tiny_scorer.tokenize(TRAIN.texts))
    assert chosen(plan, Pool(tiny_scorer, TRAIN)) == first
    assert chosen(plan.model_copy(update={"seed": 1}), pool) != first


def test_more_than_there_are_is_refused(tiny_scorer: Scorer) -> None:
    plan = PLAN.model_copy(update={"demonstrations": len(TRAIN)})
    with pytest.raises(BadInputError, match="more than the 112 train texts; show fewer"):
        chosen(plan, Pool(tiny_scorer, TRAIN))


def test_a_text_that_reads_as_a_column_is_no_demonstration() -> None:
    assert fits("a {joy}", ("text",))
    assert not fits("a {text}", ("text",))
    assert not fits(Row({"one": "a {mask}", "two": "b"}), ("one", "two"))


def test_they_stand_before_the_template_with_their_answers() -> None:
    words = {"bad": ("dull", "flat"), "good": ("warm",)}
    wording = Wording(template="Review: {text}\nSentiment:", label_words=words)
    found = demonstrated(wording, [("a joy", 1), ("a mess", 0)])
    assert found.template == (
        "Review: a joy\nSentiment: warm\n\nReview: a mess\nSentiment: dull\n\n"
        "Review: {text}\nSentiment:"
    )
    masked = Wording(template="{text} It was {mask}.", label_words=words)
    assert demonstrated(masked, [("a joy", 1)]).template == (
        "a joy It was warm.\n\n{text} It was {mask}."
    )


def test_a_long_beginning_is_read_once_and_changes_no_number(tiny_scorer: Scorer) -> None:
    scorer = shown(tiny_scorer, 2)
    texts = scorer.tokenize(TRAIN.texts[::9])
    head = scorer.task.question.shared_head(texts)
    assert head >= 16
    vectors = torch.randn(2, scorer.model.hidden_size, generator=torch.Generator().manual_seed(0))
    prompts = [
        Prompt(""),
        soft_prompt(vectors, "suffix", scorer.model),
        soft_prompt(vectors, "end", scorer.model),
    ]
    plain = [scorer.family.trusted(prompt.embedded(scorer.model), texts) for prompt in prompts]
    expected = torch.log_softmax(torch.stack(plain), dim=-1)
    for once in (False, True):
        found = scorer.log_probs(prompts, texts, once=once)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    kept = [own for own in scorer.cache._passing if own.head]
    assert kept
    assert all(own.head == head for own in kept)
    assert sum(row.shape[0] for row in scorer.cache._passing.values()) < sum(map(len, texts)) * 2


def test_a_kv_prompt_behind_a_long_beginning_changes_no_number(tiny_scorer: Scorer) -> None:
    scorer = shown(tiny_scorer, 2)
    texts, labels = scorer.tokenize(TRAIN.texts), torch.tensor(TRAIN.labels)
    examples = Examples(texts[::4], labels[::4], texts[1::8], labels[1::8])
    plan = KVPlan(
        seed=0, length=2, init="vocabulary", learning_rate=0.01, steps=2, batch_size=4,
        position="end",
    )  # fmt: skip
    [found] = tune(plan, scorer, examples, (1.0,))
    by_itself = [scorer.log_probs([found.prompt], [text])[0, 0] for text in examples.validation]
    torch.testing.assert_close(found.log_probs, torch.stack(by_itself), atol=1e-5, rtol=0)


def test_training_behind_demonstrations_learns(tiny_scorer: Scorer) -> None:
    scorer = shown(tiny_scorer, 2)
    texts, labels = scorer.tokenize(TRAIN.texts), torch.tensor(TRAIN.labels)
    examples = Examples(texts[::2], labels[::2], texts[::2], labels[::2])
    plan = SoftPlan(
        seed=0, length=3, init="vocabulary", learning_rate=0.05, steps=30, batch_size=16,
        position="suffix",
    )  # fmt: skip
    [found] = tune(plan, scorer, examples, (1.0,))
    before = scorer.log_probs([Prompt("")], examples.validation)[0]
    assert found.loss < scorer.task.readout.loss(before, labels[::2])


def test_a_head_that_ends_in_the_middle_of_a_token_is_shared_up_to_it(
    tiny_scorer: Scorer,
) -> None:
    head = "the film is dull and the plot is a joy and the cast is warm and the score is f"
    wording = tiny_scorer.wording.reworded(head + "{text}\nSentiment:", None)
    scorer = tiny_scorer.reworded(wording)
    texts = scorer.tokenize(["ilm", "lat", "ull of life"])
    shared = scorer.task.question.shared_head(texts)
    assert 0 < shared < min(map(len, texts))
    assert len({text[:shared] for text in texts}) == 1


def test_a_seat_keeps_its_demonstrations_out_of_training(tiny_folder: Any) -> None:
    from autoprompt.workers.job import Job
    from autoprompt.workers.model_files import ModelSpec
    from autoprompt.workers.text_cache import CacheSpec
    from autoprompt.workers.workbench import Workbench
    from tests.conftest import DEMO_TASK

    job = Job(
        model=ModelSpec(path=str(tiny_folder), dtype="float32"),
        task=DEMO_TASK,
        train=TRAIN,
        validation=TRAIN,
        longest_prompt=4,
        cache=CacheSpec(),
        positions=frozenset({"suffix"}),
        fractions=(1.0,),
    )
    bench = Workbench(job)
    scorer, _, examples = bench.seat(PLAN)
    assert len(examples.train) == len(TRAIN) - 4
    asked = scorer.wording.template
    for place in chosen(PLAN, Pool(bench.open(), TRAIN)):
        assert TRAIN.texts[place] in asked
    assert bench.seat(PLAN)[0] is scorer
    other = PLAN.model_copy(update={"seed": 1})
    assert bench.seat(other)[0] is not scorer


def test_families_without_cached_texts_take_them_too(tiny_scorer: Scorer) -> None:
    task = build_task(
        TaskSpec.model_validate(tiny_scorer.wording.model_dump()), tiny_scorer.model.tokenizer
    )
    plain = Scorer(tiny_scorer.model, replace(task), longest_prompt=8)
    plain.family._trusts_cache = False
    texts = [TRAIN.texts[0], TRAIN.texts[5]]
    own = shown(plain, 2)
    own.family._trusts_cache = False
    other = shown(tiny_scorer, 2)
    torch.testing.assert_close(
        own.log_probs([Prompt("")], own.tokenize(texts)),
        other.log_probs([Prompt("")], other.tokenize(texts)),
        atol=1e-5, rtol=0,
    )  # fmt: skip


def test_where_kv_prompts_are_expected_texts_are_kept_once_and_whole(tiny_scorer: Scorer) -> None:
    scorer = shown(tiny_scorer, 2)
    texts = scorer.tokenize(TRAIN.texts[:8])
    scorer.prefill(texts, {"suffix", "end"}, kv=True)
    encoded = scorer.cache.encoded
    vectors = torch.zeros(2, scorer.model.hidden_size)
    scorer.log_probs([soft_prompt(vectors, "suffix", scorer.model)], texts)
    shape = scorer.cache.states.row_shape  # type: ignore[union-attr]
    scorer.log_probs([kv_prompt(torch.zeros(2, *shape), "end")], texts)
    assert scorer.cache.encoded == encoded
