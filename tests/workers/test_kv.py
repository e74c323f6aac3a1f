"""KV prompts: the same numbers as when their rows are put into a model's cache by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import PrefixTuningConfig, TaskType, get_peft_model
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
)
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from autoprompt.search_spaces import KVPlan
from autoprompt.search_spaces.errors import BadInputError, ModelError
from autoprompt.search_spaces.kind_spaces import KVPosition
from autoprompt.workers.attention import use_grouped_attention
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Laid, Prompt, kv_prompt, lay, lay_rows
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.text_states import KeysAndValues, TokenIds
from autoprompt.workers.tuners import Examples
from autoprompt.workers.tuners.row_inits import initial_rows
from tests import tiny
from tests.tiny import TEXTS

TOLERANCE = 1e-5
WORDS = {"negative": ("dull",), "positive": ("great",)}
SPELLED = {"negative": ("dull", "far too long"), "positive": ("full of life",)}
PLAN = KVPlan(
    seed=1, length=3, init="vocabulary", learning_rate=0.01, steps=4, batch_size=8, position="end"
)
POSITIONS: tuple[KVPosition, ...] = ("end", "suffix", "prefix")


@pytest.fixture(scope="module", params=["merged", "copied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenModel:
    """A tiny Llama, with attention that reads notes and with its own."""
    folder = tiny.save_tiny_model(tmp_path_factory.mktemp("kv"), num_key_value_heads=2)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if request.param == "merged":
        assert use_grouped_attention(loaded)
    return FrozenModel(loaded, AutoTokenizer.from_pretrained(folder))


def scorer_of(
    model: FrozenModel, template: str = "Review: {text}\nSentiment:", **task: Any
) -> Scorer:
    spec = TaskSpec(template=template, label_words=task.pop("label_words", WORDS), **task)
    return Scorer(model, build_task(spec, model.tokenizer), longest_prompt=8)


def texts_of(scorer: Scorer, count: int = 6) -> list[TokenIds]:
    return scorer.tokenize([row["text"] for row in TEXTS[:count]])


def rows_like(model: FrozenModel, length: int, seed: int) -> Tensor:
    shape = KeysAndValues(model).row_shape
    assert shape is not None
    return torch.randn(length, *shape, generator=torch.Generator().manual_seed(seed)) / 2


def by_hand(model: FrozenModel, rows: Tensor, before: TokenIds, after: TokenIds, at: int) -> Tensor:
    """The logits behind `[before][rows][after]`, [V], with every token at its own place from 0 on.

    Args:
        at: the place that the rows' first key is rotated for, counted from behind the text.
    """
    bare: Any = model.model
    cache = DynamicCache()
    if before:
        bare(input_ids=torch.tensor([before]), past_key_values=cache, use_cache=True)
    shift = torch.tensor([[len(before) - at]])
    cosine, sine = bare.model.rotary_emb(rows, shift)
    whole = DynamicCache()
    for number, own in enumerate(rows.permute(1, 2, 3, 0, 4)):
        keys, _ = apply_rotary_pos_emb(own[0][None], own[0][None], cosine, sine)
        values = own[1][None]
        if before:
            layer = cache.layers[number]
            keys = torch.cat([cast(Tensor, layer.keys), keys], dim=2)
            values = torch.cat([cast(Tensor, layer.values), values], dim=2)
        whole.update(keys, values, number)
    first = len(before) + len(rows)
    places = torch.arange(first, first + len(after))[None]
    model.keep_logits_of(None)
    logits = bare(
        input_ids=torch.tensor([after]), past_key_values=whole, position_ids=places, use_cache=True
    ).logits
    return cast(Tensor, logits[0, -1])


@torch.no_grad()
@pytest.mark.parametrize("position", POSITIONS)
def test_scores_are_those_of_rows_put_into_the_cache_by_hand(
    model: FrozenModel, position: KVPosition
) -> None:
    scorer = scorer_of(model)
    texts, tail = texts_of(scorer), scorer.task.question.tail_ids
    rows = rows_like(model, 3, 0)
    scores = scorer.label_logits([lay_rows(rows, position)], texts)[0]
    assert (scorer.cache.encoded > 0) == (position != "prefix")
    once = scorer.label_logits([lay_rows(rows, position)], texts, once=True)[0]
    parts: dict[str, Any] = {
        "end": lambda text: ((*text, *tail[:-1]), tail[-1:], len(tail) - 1),
        "suffix": lambda text: (text, tail, 0),
        "prefix": lambda text: ((), (*text, *tail), 0),
    }
    expected = []
    for text in texts:
        before, after, at = parts[position](text)
        expected.append(by_hand(model, rows, before, after, at))
    wanted = torch.stack(expected)[:, list(scorer.task.readout.starts)]
    torch.testing.assert_close(scores, wanted, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(once, wanted, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_a_bare_text_is_asked_its_own_last_token(model: FrozenModel) -> None:
    scorer = scorer_of(model, "{text}")
    texts = [*texts_of(scorer, 3), texts_of(scorer)[0][:1]]
    rows = rows_like(model, 2, 3)
    scores = scorer.label_logits([lay_rows(rows, "end")], texts)[0]
    for text, score in zip(texts, scores, strict=True):
        logits = by_hand(model, rows, text[:-1], text[-1:], -1)
        wanted = logits[list(scorer.task.readout.starts)]
        torch.testing.assert_close(score, wanted, atol=TOLERANCE, rtol=0)
    with pytest.raises(BadInputError, match="asks a text's last token"):
        scorer.label_logits([lay_rows(rows, "end")], [*texts, ()])


@pytest.mark.parametrize("words", [WORDS, SPELLED], ids=["one token", "several"])
def test_a_population_scores_as_its_members_do_alone(
    model: FrozenModel, words: dict[str, tuple[str, ...]]
) -> None:
    """Any mix of kinds, lengths and places; gradients too."""
    scorer = scorer_of(model, label_words=words, label_scoring="mean")
    scorer.family.expect({"end", "suffix"})
    texts = texts_of(scorer)
    generator = torch.Generator().manual_seed(5)

    def vectors(length: int) -> Tensor:
        return torch.randn(length, model.hidden_size, generator=generator) / 10

    population: list[Laid] = [
        lay_rows(rows_like(model, 3, 1), "end"),
        lay(vectors(2), "suffix"),
        lay_rows(rows_like(model, 1, 2), "end"),
        lay(vectors(4), "end"),
        lay_rows(rows_like(model, 2, 3), "suffix"),
        lay(vectors(2), "suffix"),
        lay(vectors(0), "suffix"),
    ]
    weights = torch.randn(len(texts), scorer.task.readout.size, generator=generator)

    def learned(prompts: Sequence[Laid]) -> tuple[Tensor, list[Tensor]]:
        asked = [
            Laid(*(part.clone().requires_grad_(bool(len(part))) for part in one)) for one in prompts
        ]
        scores = scorer.label_logits(asked, texts)
        if scores.requires_grad:
            (scores * weights).sum().backward()
        grads = [part.grad for one in asked for part in one if part.grad is not None]
        return scores.detach(), grads

    together, gradients = learned(population)
    alone = [learned([one]) for one in population]
    torch.testing.assert_close(
        together, torch.cat([scores for scores, _ in alone]), atol=TOLERANCE, rtol=0
    )
    for own, other in zip(gradients, [part for _, parts in alone for part in parts], strict=True):
        torch.testing.assert_close(own, other, atol=TOLERANCE, rtol=1e-4)


@torch.no_grad()
def test_a_text_does_not_depend_on_its_neighbours(model: FrozenModel) -> None:
    scorer = scorer_of(model)
    texts = texts_of(scorer, 8)
    laid = [lay_rows(rows_like(model, 3, 1), "end"), lay_rows(rows_like(model, 2, 4), "suffix")]
    whole = scorer.label_logits(laid, texts)
    single = torch.cat([scorer.label_logits(laid, [text]) for text in texts], dim=1)
    torch.testing.assert_close(whole, single, atol=TOLERANCE, rtol=0)


def test_merged_attention_has_the_scores_and_gradients_of_plain_attention(tmp_path: Path) -> None:
    folder = tiny.save_tiny_model(tmp_path, num_key_value_heads=2)
    results = []
    for merged in (False, True):
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        if merged:
            assert use_grouped_attention(loaded)
        frozen = FrozenModel(loaded, AutoTokenizer.from_pretrained(folder))
        scorer = scorer_of(frozen)
        rows = rows_like(frozen, 3, 1).requires_grad_()
        vectors = (torch.ones(2, frozen.hidden_size) / 10).requires_grad_()
        scores = scorer.label_logits(
            [lay_rows(rows, "end"), lay(vectors, "suffix")], texts_of(scorer)
        )
        scores[:, :, 0].sum().backward()
        results.append((scores.detach(), rows.grad, vectors.grad))
    for own, other in zip(*results, strict=True):
        torch.testing.assert_close(own, other, atol=TOLERANCE, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("side", ["right", "left"])
def test_at_the_prefix_it_is_pefts_prefix_tuning(tmp_path: Path, side: str) -> None:
    folder = tiny.save_tiny_model(tmp_path, num_key_value_heads=2)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    frozen = FrozenModel(base, AutoTokenizer.from_pretrained(folder))
    scorer = scorer_of(frozen)
    rows = rows_like(frozen, 4, 6)
    texts = texts_of(scorer)
    ours = scorer.label_logits([lay_rows(rows, "prefix")], texts)[0]
    whole = [(*text, *scorer.task.question.tail_ids) for text in texts]
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=len(rows))
    peft: Any = get_peft_model(theirs, config).eval()
    peft.prompt_encoder["default"].embedding.weight.copy_(rows.flatten(1))
    longest = max(map(len, whole))
    ids = torch.zeros(len(whole), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(whole):
        place = slice(0, len(row)) if side == "right" else slice(longest - len(row), longest)
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = peft(input_ids=ids, attention_mask=mask, position_ids=places).logits
    last = torch.tensor([len(row) - 1 if side == "right" else longest - 1 for row in whole])
    wanted = logits[torch.arange(len(whole)), last][:, list(scorer.task.readout.starts)]
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("init", ["vocabulary", "labels", "template", "text", "random", "prompt"])
def test_every_init_gives_rows(model: FrozenModel, position: KVPosition, init: str) -> None:
    scorer = scorer_of(model)
    texts = texts_of(scorer, 12)
    labels = torch.zeros(len(texts), dtype=torch.long)
    earlier = {"soft": Prompt("", vectors=torch.ones(2, model.hidden_size))}
    examples = Examples(texts, labels, texts, labels, earlier)
    plan = PLAN.model_copy(
        update={"init": init, "init_text": "so it is", "init_prompt": "soft", "position": position}
    )
    drawn = [
        initial_rows(plan, scorer, examples, torch.Generator().manual_seed(2)) for _ in range(2)
    ]
    assert drawn[0].shape == (3, *(KeysAndValues(model).row_shape or ()))
    assert bool(drawn[0].isfinite().all())
    assert torch.equal(*drawn)


def test_an_initial_row_is_what_its_token_leaves_behind_a_text(model: FrozenModel) -> None:
    """So a KV prompt of a phrase begins as the phrase itself would, were it not averaged."""
    scorer = scorer_of(model)
    text = texts_of(scorer, 1)
    labels = torch.zeros(1, dtype=torch.long)
    plan = PLAN.model_copy(update={"init": "text", "init_text": "in short", "position": "suffix"})
    rows = initial_rows(plan, scorer, Examples(text, labels, text, labels), torch.Generator())
    phrase = model.tokenizer(" in short", add_special_tokens=False).input_ids
    ids = [phrase[index % len(phrase)] for index in range(3)]
    with torch.no_grad():
        asked = scorer.label_logits([lay(model.embed(ids), "suffix")], text)
        by_rows = scorer.label_logits([lay_rows(rows, "suffix")], text)
    torch.testing.assert_close(by_rows, asked, atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_learned_positions_are_no_part_of_a_prompts_keys(model: FrozenModel) -> None:
    """GPT-2 adds positions to its input, so rows stand behind any text as they are."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(model.tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=64
    )
    frozen = FrozenModel(GPT2LMHeadModel(config), model.tokenizer)
    assert frozen.takes_rows
    assert not frozen.counts_distances
    scorer = scorer_of(frozen)
    rows, tail = rows_like(frozen, 3, 0), scorer.task.question.tail_ids
    texts = texts_of(scorer)
    scores = scorer.label_logits([lay_rows(rows, "end")], texts)[0]
    frozen.keep_logits_of(None)
    for text, score in zip(texts, scores, strict=True):
        before, whole = DynamicCache(), DynamicCache()
        bare: Any = frozen.model
        bare(input_ids=torch.tensor([(*text, *tail[:-1])]), past_key_values=before, use_cache=True)
        for number, own in enumerate(rows.permute(1, 2, 3, 0, 4)):
            layer = before.layers[number]
            parts = ((layer.keys, own[0]), (layer.values, own[1]))
            whole.update(*(torch.cat([kept, one[None]], dim=2) for kept, one in parts), number)
        place = len(text) + len(tail) - 1 + len(rows)
        logits = bare(
            input_ids=torch.tensor([tail[-1:]]),
            past_key_values=whole,
            position_ids=torch.tensor([[place]]),
            use_cache=True,
        ).logits
        wanted = logits[0, -1, list(scorer.task.readout.starts)]
        torch.testing.assert_close(score, wanted, atol=TOLERANCE, rtol=0)


def test_a_rotation_that_depends_on_length_is_refused(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    folder = tiny.save_tiny_model(tmp_path, rope_parameters=rope)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    scorer = scorer_of(FrozenModel(loaded, AutoTokenizer.from_pretrained(folder)))
    texts, labels = texts_of(scorer), torch.zeros(6, dtype=torch.long)
    with pytest.raises(ModelError, match="mean the same behind a short text and a long one"):
        initial_rows(PLAN, scorer, Examples(texts, labels, texts, labels), torch.Generator())


@torch.no_grad()
def test_a_soft_prompt_at_the_end_asks_nothing_of_an_empty_text(model: FrozenModel) -> None:
    scorer = scorer_of(model, "{text}")
    vectors = torch.ones(2, model.hidden_size) / 10
    texts: list[TokenIds] = [(), *texts_of(scorer, 2)]
    scores = scorer.label_logits([lay(vectors, "end")], texts)[0]
    alone = scorer.family.plain(lay(vectors, "end"), texts)
    torch.testing.assert_close(scores, alone, atol=TOLERANCE, rtol=0)


def test_it_can_be_read_back(model: FrozenModel) -> None:
    prompt = kv_prompt(rows_like(model, 3, 1), "end")
    again = Prompt.from_bytes(prompt.to_bytes())
    assert (again.kind, again.position, len(again)) == ("kv", "end", 3)
    assert again.digest == prompt.digest != kv_prompt(rows_like(model, 3, 2), "end").digest
    assert again.rows is not None
    assert prompt.rows is not None
    assert torch.equal(again.rows, prompt.rows)


@pytest.mark.parametrize("position", POSITIONS)
def test_rows_may_start_from_whole_labelled_examples(
    model: FrozenModel, position: KVPosition, examples: Examples
) -> None:
    scorer = scorer_of(model)
    plan = PLAN.model_copy(update={"init": "examples", "length": 5, "position": position})
    rows = initial_rows(plan, scorer, examples, torch.Generator().manual_seed(0))
    shape = KeysAndValues(model).row_shape
    assert rows.shape == (5, *(shape or ()))
    if position == "prefix":
        # The last tokens of one example, read by itself: its label's word stands last.
        again = initial_rows(
            plan.model_copy(update={"length": 2}), scorer, examples,
            torch.Generator().manual_seed(0),
        )  # fmt: skip
        torch.testing.assert_close(rows[-2:], again)
