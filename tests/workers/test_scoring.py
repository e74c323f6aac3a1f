"""Cached and uncached scoring give the same numbers, whatever stands beside a text in a batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoprompt.workers.batches import TokenBudget, batches
from autoprompt.workers.data import Split
from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.packing import Blocks, side_by_side
from autoprompt.workers.prompt import Laid, Prompt, lay
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.text_cache import CachedTexts
from autoprompt.workers.text_states import KeysAndValues, Passage, TokenIds
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS

#: Log-probabilities of labels in float32; the two paths differ by the order of additions only.
FLOAT32_TOLERANCE = 1e-4

PROMPTS = [
    Prompt("", (5, 6, 7)),
    Prompt("", (9,)),
    Prompt("soft", vectors=torch.linspace(-1, 1, 4 * 32).reshape(4, 32)),
    Prompt(""),
]


def plain(scorer: Scorer) -> Scorer:
    """The same scorer, made to run the whole input every time."""
    other = Scorer(scorer.model, scorer.task, longest_prompt=8)
    other.family._trusts_cache = False
    return other


def test_packed_cached_scores_equal_plain_ones(tiny_scorer: Scorer) -> None:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:40]])
    cached = tiny_scorer.log_probs(PROMPTS, texts)
    assert tiny_scorer.cache.encoded == len(set(texts)), "the cached path was not taken"
    uncached = plain(tiny_scorer)
    expected = uncached.log_probs(PROMPTS, texts)
    assert uncached.cache.encoded == 0
    assert (expected.exp().sum(-1) - 1).abs().max() < 1e-5
    assert expected.std() > 0.01, "random prompts that change nothing would prove nothing"
    torch.testing.assert_close(cached, expected, atol=FLOAT32_TOLERANCE, rtol=0)


def test_gradients_of_the_cached_path_equal_the_plain_ones(tiny_scorer: Scorer) -> None:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:9]])

    def gradient(scorer: Scorer) -> Tensor:
        vectors = torch.linspace(-0.5, 0.5, 3 * 32).reshape(3, 32).requires_grad_()
        scorer.label_logits([lay(vectors, "suffix")], texts)[0, :, 0].sum().backward()
        assert vectors.grad is not None
        return vectors.grad

    expected = gradient(plain(tiny_scorer))
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(gradient(tiny_scorer), expected, atol=1e-4, rtol=1e-3)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=12),
    extra=st.lists(st.text("abc .", min_size=1, max_size=60), max_size=4),
    position=st.sampled_from(["suffix", "prefix"]),
)
def test_a_texts_score_does_not_depend_on_its_neighbours(
    tiny_scorer: Scorer, rows: list[int], extra: list[str], position: str
) -> None:
    texts = tiny_scorer.tokenize([TEXTS[row]["text"] for row in rows] + extra)
    prompts = [Prompt("", (5, 6), position=position), Prompt("", (8,), position=position)]
    together = tiny_scorer.log_probs(prompts, texts)
    alone = torch.cat([tiny_scorer.log_probs([prompts[0]], [text]) for text in texts], dim=1)
    torch.testing.assert_close(together[0], alone[0], atol=FLOAT32_TOLERANCE, rtol=0)


def test_a_prefix_prompt_stands_before_everything(tiny_scorer: Scorer) -> None:
    """Held against the model called directly on the whole input as tokens."""
    model = tiny_scorer.model
    text = tiny_scorer.tokenize(["the film is a joy"])[0]
    for position, ids in (
        ("prefix", (5, 6, *text, *tiny_scorer.task.question.tail_ids)),
        ("suffix", (*text, 5, 6, *tiny_scorer.task.question.tail_ids)),
    ):
        found = tiny_scorer.log_probs([Prompt("", (5, 6), position=position)], [text])[0, 0]
        logits = model.model(input_ids=torch.tensor([ids])).logits[0, -1]
        torch.testing.assert_close(found, torch.log_softmax(logits, -1), atol=1e-4, rtol=0)


def test_prompts_at_the_end_pay_for_themselves_alone(
    tiny_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:4]])
    ends = [replace(prompt, position="end") for prompt in PROMPTS[:3]]
    tail = len(tiny_scorer.task.question.tail_ids)
    tiny_scorer.log_probs([*ends, PROMPTS[0]], texts)
    widths: list[int] = []
    honest = tiny_scorer.model.logits

    def counted(keep: Tensor, **given: Tensor) -> Tensor:
        widths.append(given["inputs_embeds"].shape[1])
        return honest(keep, **given)

    monkeypatch.setattr(tiny_scorer.model, "logits", counted)
    cached = tiny_scorer.log_probs([PROMPTS[0], *ends], texts)
    # One pass for both places and all texts, in one row: behind the text the template is read
    # again, at its end it is not.
    assert widths == [len(texts) * (3 + tail + 3 + 1 + 4)]
    widths.clear()
    once = tiny_scorer.log_probs(ends, texts, once=True)
    assert widths == [max(map(len, texts)) + tail, len(texts) * (3 + 1 + 4)]
    mixed = tiny_scorer.log_probs([PROMPTS[0], *ends], texts, once=True)
    expected = plain(tiny_scorer).log_probs([PROMPTS[0], *ends], texts)
    for found in (cached, mixed):
        torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)
    torch.testing.assert_close(once, expected[1:], atol=FLOAT32_TOLERANCE, rtol=0)


def test_texts_kept_for_both_places_are_computed_once(tiny_scorer: Scorer) -> None:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:9]])
    prompts = [*PROMPTS[:3], *(replace(prompt, position="end") for prompt in PROMPTS[:3])]
    tiny_scorer.prefill(texts, {"suffix", "end", "prefix"})
    found = tiny_scorer.log_probs(prompts, texts)
    assert tiny_scorer.cache.encoded == len(set(texts))
    once = tiny_scorer.log_probs(prompts, texts, once=True)
    expected = plain(tiny_scorer).log_probs(prompts, texts)
    torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)
    torch.testing.assert_close(once, expected, atol=FLOAT32_TOLERANCE, rtol=0)


def test_a_prefix_shared_by_all_texts_scores_as_one_that_is_not(tiny_scorer: Scorer) -> None:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:30]])
    prompts = [replace(prompt, position="prefix") for prompt in PROMPTS]
    found = tiny_scorer.log_probs(prompts, texts)
    expected = plain(tiny_scorer).log_probs(prompts, texts)
    torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)


def test_batches_behind_a_shared_front_are_of_what_goes_through_the_model(
    tiny_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS[:30]])
    prompt = Prompt("", tuple(range(5, 13)), position="prefix")
    tiny_scorer.log_probs([prompt], texts)
    monkeypatch.setattr(tiny_scorer, "budget", TokenBudget(64))
    counts: list[int] = []
    honest = tiny_scorer.model.logits

    def counted(keep: Tensor, **given: Tensor) -> Tensor:
        counts.append(len(given["inputs_embeds"]))
        return honest(keep, **given)

    monkeypatch.setattr(tiny_scorer.model, "logits", counted)
    tiny_scorer.log_probs([prompt], texts)
    lengths = [len(text) for text in texts]
    costs = [length + len(tiny_scorer.task.question.tail_ids) for length in lengths]
    # The front by itself goes first.
    assert counts == [1, *map(len, batches(lengths, costs, 64))]


def test_an_empty_tail_and_no_prompt_still_score(tiny_model: FrozenModel) -> None:
    spec = TaskSpec(template="Review: {text}", label_words=DEMO_TASK.label_words)
    scorer = Scorer(tiny_model, build_task(spec, tiny_model.tokenizer), longest_prompt=2)
    texts = scorer.tokenize(["the film is a joy.", "dull."])
    scores = scorer.log_probs([Prompt(""), Prompt("", (5,))], texts)
    assert torch.isfinite(scores).all()


def test_a_text_is_cut_so_that_the_longest_prompt_still_fits(tiny_scorer: Scorer) -> None:
    texts = tiny_scorer.tokenize(["the film is a joy", "very " * 100])
    assert tiny_scorer.truncated == 1
    longest = Prompt("", tuple(range(5, 13)))
    assert len(texts[1]) + len(longest) + len(tiny_scorer.task.question.tail_ids) == 64
    assert torch.isfinite(tiny_scorer.log_probs([longest], texts)).all()


LONG_WORDS = {
    "negative": ["dull", "far too long"],
    "positive": ["a joy", "full of life", "great"],
}


@pytest.mark.parametrize("scoring", ["first_token", "sum", "mean"])
@pytest.mark.parametrize("position", ["suffix", "prefix", "end"])
def test_words_of_several_tokens_against_the_model_called_word_by_word(
    scoring: str, position: str, tiny_model: FrozenModel
) -> None:
    """Every word spelled out behind the input, one forward pass each, by hand."""
    spec = TaskSpec.model_validate(
        {
            "template": "Review: {text}\nSentiment:",
            "label_words": LONG_WORDS,
            "label_scoring": scoring,
        }
    )
    task = build_task(spec, tiny_model.tokenizer)
    scorer = Scorer(tiny_model, task, longest_prompt=4)
    texts = scorer.tokenize(["the film is a joy", "the plot is far too long", "dull"])
    prompts = [Prompt("", (5, 6), position=position), Prompt("", (7,), position=position)]
    found = scorer.log_probs(prompts, texts)
    # A prefix goes over no cached text; they are tried all the same, to know what masks may do.
    assert scorer.cache.encoded >= len(texts)
    assert scorer.family.trusts_cache(texts), scorer.family.distrust

    tiny_model.keep_logits_of(None)
    for n, prompt in enumerate(prompts):
        for b, text in enumerate(texts):
            ids = {
                "suffix": (*text, *prompt.token_ids, *task.question.tail_ids),
                "prefix": (*prompt.token_ids, *text, *task.question.tail_ids),
                "end": (*text, *task.question.tail_ids, *prompt.token_ids),
            }[position]
            labels: list[list[Tensor]] = [[], []]
            for label, words in enumerate(LONG_WORDS.values()):
                for word in words:
                    own = tiny_model.tokenizer(f": {word}", add_special_tokens=False).input_ids[1:]
                    own = own[:1] if scoring == "first_token" else own
                    logits = tiny_model.model(input_ids=torch.tensor([[*ids, *own]])).logits[0]
                    log_probs = torch.log_softmax(logits.float(), dim=-1)
                    parts = torch.stack(
                        [log_probs[len(ids) - 1 + at, token] for at, token in enumerate(own)]
                    )
                    labels[label].append(parts.mean() if scoring == "mean" else parts.sum())
            scores = torch.stack([torch.logsumexp(torch.stack(each), 0) for each in labels])
            expected = torch.log_softmax(scores, dim=-1)
            torch.testing.assert_close(found[n, b], expected, atol=1e-4, rtol=0)


def test_texts_scored_once_with_words_of_several_tokens(tiny_model: FrozenModel) -> None:
    spec = TaskSpec.model_validate(
        {"template": "{text} so", "label_words": LONG_WORDS, "label_scoring": "sum"}
    )
    scorer = Scorer(tiny_model, build_task(spec, tiny_model.tokenizer), longest_prompt=8)
    texts = [row["text"] for row in TEXTS[:20]]
    found = scorer.score_texts(PROMPTS, texts)
    expected = plain(scorer).log_probs(PROMPTS, scorer.tokenize(texts))
    torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)


def test_gradients_flow_through_words_of_several_tokens(tiny_model: FrozenModel) -> None:
    spec = TaskSpec.model_validate(
        {"template": "{text} so", "label_words": LONG_WORDS, "label_scoring": "mean"}
    )
    task = build_task(spec, tiny_model.tokenizer)
    scorer = Scorer(tiny_model, task, longest_prompt=4)
    texts = scorer.tokenize(["the film is a joy", "dull"])

    def gradient(chosen: Scorer) -> Tensor:
        vectors = torch.linspace(-0.5, 0.5, 2 * 32).reshape(2, 32).requires_grad_()
        chosen.label_logits([lay(vectors, "suffix")], texts)[0, :, 0].sum().backward()
        assert vectors.grad is not None
        return vectors.grad

    expected = gradient(plain(scorer))
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(gradient(scorer), expected, atol=1e-4, rtol=1e-3)


def test_texts_scored_once_leave_nothing_in_the_cache(
    tiny_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.workers.batches._TEXTS_PER_WINDOW", 32)
    texts = [row["text"] for row in TEXTS]
    done: list[int] = []
    scores = tiny_scorer.score_texts(PROMPTS, texts, done.append)
    assert sum(done) == len(texts) > max(done) == 32
    assert scores.shape == (len(PROMPTS), len(texts), 2)
    # Eight served to try whether a cache can be trusted.
    assert tiny_scorer.cache.encoded == 8
    expected = tiny_scorer.log_probs(PROMPTS, tiny_scorer.tokenize(texts))
    torch.testing.assert_close(scores, expected, atol=FLOAT32_TOLERANCE, rtol=0)


def test_texts_without_a_token_decide_nothing_about_the_cache(tiny_model: FrozenModel) -> None:
    task = build_task(
        TaskSpec(template="{text} It was", label_words=DEMO_TASK.label_words), tiny_model.tokenizer
    )
    scorer = Scorer(tiny_model, task, longest_prompt=4)
    assert not scorer.family.trusts_cache([(), ()])
    assert scorer.family.trusts_cache([(), (5,), (5, 6)])
    assert scorer.log_probs([Prompt("", (5,))], [(), (5, 6)]).isfinite().all()


def test_a_cache_that_gives_other_numbers_is_not_used(
    tiny_model: FrozenModel, tiny_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is made by measuring, so it also catches a model no rule knows of."""
    scorer = Scorer(tiny_model, tiny_task, longest_prompt=4)
    honest = CausalFamily.cached
    monkeypatch.setattr(
        CausalFamily, "cached", lambda self, asked: [own + 1.0 for own in honest(self, asked)]
    )
    texts = scorer.tokenize(["the film is a joy", "dull"])
    assert not scorer.family.trusts_cache(texts)
    assert scorer.family.distrust
    assert "logits lie 1 from the plain ones" in scorer.family.distrust


def test_a_cache_that_is_trusted_is_trusted_in_another_wording(
    tiny_scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_scorer.wording.reworded("{text} It was", None)
    assert tiny_scorer.reworded(other).family._trusts_cache is None
    texts = tiny_scorer.tokenize(["the film is a joy", "dull"])
    assert tiny_scorer.family.trusts_cache(texts)
    monkeypatch.setattr(CausalFamily, "_apart", None)
    assert tiny_scorer.reworded(other).family.trusts_cache(texts)


def test_a_cache_that_is_trusted_is_trusted_in_another_process(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))

    def tried(found: tuple[float, float] | None) -> bool:
        """Whether another process would use the cache, given what trying it finds."""
        scorer = load_scorer(ModelSpec(path=str(tiny_folder), dtype="float32"), DEMO_TASK, 4)
        monkeypatch.setattr(CausalFamily, "_apart", found and (lambda self, texts: found))
        return scorer.family.trusts_cache(scorer.tokenize(["the film is a joy", "dull"]))

    assert not tried((1.0, 1.0))
    assert not list(tmp_path.glob("trust/*")), "what was wrong is tried again"
    assert tried((0.0, 1.0))
    [kept] = tmp_path.glob("trust/*")
    assert tried(None)
    kept.unlink()
    assert not tried((1.0, 1.0))


@pytest.mark.parametrize(
    ("found", "trusted", "trials"),
    [
        ([(0.004, 1.0)], True, 1),
        ([(0.03, 1.0)], False, 1),
        ([(0.015, 1.0), (0.002, 1.0), (0.002, 1.0), (0.002, 1.0)], True, 4),
        ([(0.008, 1.0), (0.05, 1.0)], False, 2),
    ],
    ids=["plainly right", "plainly wrong", "open, then right", "open, then wrong"],
)
def test_a_cache_is_tried_on_more_texts_where_a_few_leave_it_open(
    found: list[tuple[float, float]],
    trusted: bool,
    trials: int,
    tiny_model: FrozenModel,
    tiny_task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer = Scorer(tiny_model, tiny_task, longest_prompt=4)
    seen: list[Sequence[TokenIds]] = []

    def apart(self: CausalFamily, texts: Sequence[TokenIds]) -> tuple[float, float]:
        seen.append(texts)
        return found[len(seen) - 1]

    monkeypatch.setattr(CausalFamily, "_apart", apart)
    texts = [(number,) for number in range(40)]
    assert scorer.family.trusts_cache(texts) == trusted
    assert len(seen) == trials
    assert len({text for own in seen for text in own}) == 8 * trials


@pytest.mark.parametrize("room", [3, 0], ids=["for a few texts", "for none at first"])
def test_out_of_memory_is_no_reason_against_the_cache(
    room: int, tiny_model: FrozenModel, tiny_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(tiny_model, tiny_task, longest_prompt=4)
    texts = scorer.tokenize(["the film is a joy", "dull"] * 8)
    honest = CausalFamily.cached

    def short_of_memory(
        self: CausalFamily, asked: list[tuple[list[Laid], CachedTexts]]
    ) -> list[Tensor]:
        if any(len(texts.mask) > room for _, texts in asked):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return honest(self, asked)

    with monkeypatch.context() as patched:
        patched.setattr(CausalFamily, "cached", short_of_memory)
        assert scorer.family.trusts_cache(texts) == (room > 0)
    assert scorer.family.distrust is None
    assert scorer.family.trusts_cache(texts)


def test_texts_are_encoded_in_parts_where_memory_does_not_hold_a_batch(
    tiny_model: FrozenModel, tiny_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, other = (Scorer(tiny_model, tiny_task, longest_prompt=4) for _ in range(2))
    written = ["the film is a joy", "dull", "the plot is dull", "flat"]
    texts = [Passage(text) for text in scorer.tokenize(written)]
    expected = scorer.cache.batch(texts).states
    honest = KeysAndValues.encode

    def short_of_memory(self: KeysAndValues, batch: list[Passage]) -> Tensor:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return honest(self, batch)

    monkeypatch.setattr(KeysAndValues, "encode", short_of_memory)
    torch.testing.assert_close(other.cache.batch(texts).states, expected)
    assert other.cache.encoded == len(texts)


# On the real model


def real_scorer(model: FrozenModel) -> Scorer:
    return Scorer(model, build_task(DEMO_TASK, model.tokenizer), longest_prompt=8)


def real_prompts(model: FrozenModel) -> list[Prompt]:
    generator = torch.Generator().manual_seed(0)
    vectors = model.embed([300, 400, 500]).float() + 0.1 * torch.randn(
        3, model.hidden_size, generator=generator
    )
    words = model.tokenizer(" In short, it was", add_special_tokens=False).input_ids
    return [Prompt("", tuple(words)), Prompt("soft", vectors=vectors), Prompt("")]


def test_real_model_cached_equals_plain_in_float32(real_model: FrozenModel, movies: Split) -> None:
    scorer = real_scorer(real_model)
    texts = scorer.tokenize(movies.texts[:10])
    cached = scorer.log_probs(real_prompts(real_model), texts)
    assert scorer.cache.encoded == len(set(texts))
    expected = plain(scorer).log_probs(real_prompts(real_model), texts)
    torch.testing.assert_close(cached, expected, atol=FLOAT32_TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def bfloat16_model(real_spec: ModelSpec) -> FrozenModel:
    return load_model(real_spec.model_copy(update={"dtype": "bfloat16"}))


def test_bfloat16_rounding_is_no_reason_against_the_cache_and_wrong_positions_are(
    bfloat16_model: FrozenModel, movies: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cut, as bfloat16 may be slow here.
    texts = [text[:40] for text in real_scorer(bfloat16_model).tokenize(movies.texts[:8])]

    def trusted() -> bool:
        return real_scorer(bfloat16_model).family.trusts_cache(texts)

    assert trusted()

    def misplaced(*arguments: Any, **others: Any) -> Blocks:
        blocks = side_by_side(*arguments, **others)
        return replace(blocks, offset=blocks.offset + 3)

    monkeypatch.setattr("autoprompt.workers.families.causal.side_by_side", misplaced)
    assert not trusted()


def test_real_model_knows_the_task_a_little_without_any_prompt(
    real_model: FrozenModel, movies: Split
) -> None:
    scorer = real_scorer(real_model)
    scores = scorer.score_texts([Prompt("")], movies.texts[:60])[0]
    right = scores.argmax(-1) == torch.tensor(movies.labels[:60])
    assert right.float().mean() > 0.7
