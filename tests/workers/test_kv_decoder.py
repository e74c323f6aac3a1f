"""KV prompts before a decoder's start, in models that have one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, DynamicCache, EncoderDecoderCache

from autoprompt.preparation.kv_check import row_shape
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt, kv_prompt, lay, lay_rows
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.tuners import Examples, Progress, tune
from autoprompt.workers.tuners.row_inits import initial_rows
from tests.tiny import TEXTS, save_tiny_bart, save_tiny_t5
from tests.workers.test_kv import PLAN

AT_DECODER = PLAN.model_copy(update={"position": "decoder"})


@pytest.fixture(scope="module", params=[save_tiny_t5, save_tiny_bart], ids=["t5", "bart"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(request.param(tmp_path_factory.mktemp("decoder") / "model"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    model = load_model(ModelSpec(path=str(folder), dtype="float32"))
    words = {"negative": ("dull",), "positive": ("great",)}
    spec = TaskSpec(template="Review: {text} Sentiment:", label_words=words)
    return Scorer(model, build_task(spec, model.tokenizer, model.family), longest_prompt=8)


@pytest.fixture(scope="module")
def examples(scorer: Scorer) -> Examples:
    texts = scorer.tokenize([row["text"] for row in TEXTS[:16]])
    labels = torch.tensor([int(row["label"] == "positive") for row in TEXTS[:16]])
    return Examples(texts, labels, texts, labels)


def rows_like(scorer: Scorer, length: int) -> Tensor:
    shape = row_shape(scorer.model.model.config)
    assert shape is not None
    return torch.randn(length, *shape, generator=torch.Generator().manual_seed(4)) / 2


@torch.no_grad()
def test_scores_are_those_of_rows_put_into_the_cache_by_hand(
    scorer: Scorer, examples: Examples, folder: Path
) -> None:
    rows, texts = rows_like(scorer, 4), examples.train[:5]
    ours = scorer.label_logits([lay_rows(rows, "decoder")], texts)[0]
    once = scorer.label_logits([lay_rows(rows, "decoder")], texts, once=True)[0]
    torch.testing.assert_close(once, ours, atol=1e-5, rtol=0)
    bare: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    question = scorer.task.question
    behind = (*question.tail_ids, *question.end_ids)
    start = [bare.config.decoder_start_token_id, *question.answer_ids]
    for text, own in zip(texts, ours, strict=True):
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for layer, (keys, values) in enumerate(rows.permute(1, 2, 3, 0, 4)):
            cache.self_attention_cache.update(keys[None], values[None], layer)
        logits = bare(
            input_ids=torch.tensor([[*text, *behind]]),
            decoder_input_ids=torch.tensor([start]),
            past_key_values=cache,
        ).logits
        wanted = logits[0, -1, list(scorer.task.readout.starts)]
        torch.testing.assert_close(own, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("init", ["vocabulary", "labels", "template", "text", "random", "prompt"])
def test_every_init_gives_rows(init: str, scorer: Scorer, examples: Examples) -> None:
    earlier = {"kv": kv_prompt(rows_like(scorer, 2), "decoder")}
    given = Examples(examples.train, examples.train_labels, [], torch.tensor([]), earlier)
    plan = AT_DECODER.model_copy(
        update={"init": init, "init_text": "so it is", "init_prompt": "kv"}
    )
    rows = initial_rows(plan, scorer, given, torch.Generator().manual_seed(2))
    assert rows.shape == rows_like(scorer, plan.length).shape
    assert bool(rows.isfinite().all())


def test_training_it_lowers_the_loss_over_texts_that_are_read_once(
    scorer: Scorer, examples: Examples
) -> None:
    plan = AT_DECODER.model_copy(update={"steps": 30, "learning_rate": 0.05})
    encoded = scorer.cache.encoded
    rungs: list[Progress] = list(tune(plan, scorer, examples, (0.1, 1.0)))
    assert rungs[-1].loss < rungs[0].loss
    assert rungs[-1].gradient_norm
    assert scorer.cache.encoded <= encoded + len(examples.train)
    again = Prompt.from_bytes(rungs[-1].prompt.to_bytes())
    assert (again.kind, again.position) == ("kv", "decoder")


def test_it_does_not_stand_elsewhere(scorer: Scorer, examples: Examples) -> None:
    with pytest.raises(ModelError, match="elsewhere than at decoder"):
        initial_rows(PLAN, scorer, examples, torch.Generator())


@torch.no_grad()
def test_it_stands_beside_prompts_of_vectors(scorer: Scorer, examples: Examples) -> None:
    vectors = torch.ones(2, scorer.model.hidden_size) / 10
    laid = [lay_rows(rows_like(scorer, 3), "decoder"), lay(vectors, "decoder")]
    both = scorer.label_logits(laid, examples.train[:4])
    alone = torch.cat([scorer.label_logits([one], examples.train[:4]) for one in laid])
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)
