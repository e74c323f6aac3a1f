"""Models whose layers see a window of the input: their texts are kept where they fit it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from autoprompt.workers.attention import use_grouped_attention
from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_config import keeps_whole_text, text_window
from autoprompt.workers.prompt import Prompt, kv_prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.text_states import KeysAndValues
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS, save_tiny_model
from tests.workers.test_scoring import FLOAT32_TOLERANCE, PROMPTS, plain

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def windowed(kind: str, window: int, folder: Path) -> FrozenModel:
    """A model with random weights whose layers, or half of them, see so many tokens."""
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(folder))
    sizes = SIZES | {"vocab_size": len(tokenizer), "sliding_window": window}
    torch.manual_seed(0)
    model: Any
    if kind == "every layer":
        model = MistralForCausalLM(MistralConfig(**sizes))
    elif kind == "half of them":
        layers = {"use_sliding_window": True, "max_window_layers": 1}
        model = Qwen2ForCausalLM(Qwen2Config(**sizes, **layers))
    else:
        layers = {"layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}
        model = Gemma3ForCausalLM(Gemma3TextConfig(**sizes, **layers))
    model.eval()
    use_grouped_attention(model)
    return FrozenModel(model, tokenizer)


KINDS = ["every layer", "half of them", "other rotations"]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_that_fit_are_kept_with_the_same_scores(kind: str, tmp_path: Path) -> None:
    model = windowed(kind, 40, tmp_path / "model")
    assert text_window(model.model.config) == 40
    scorer = Scorer(model, build_task(DEMO_TASK, model.tokenizer), longest_prompt=8)
    texts = scorer.tokenize([row["text"] for row in TEXTS[:20]])
    assert scorer.family.trusts_cache(texts), scorer.family.distrust
    found = scorer.log_probs(PROMPTS, texts)
    assert scorer.cache.encoded == len(set(texts))
    expected = plain(scorer).log_probs(PROMPTS, texts)
    torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_with_a_text_that_does_not_fit_takes_the_plain_path(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = windowed(kind, 30, tmp_path / "model")
    scorer = Scorer(model, build_task(DEMO_TASK, model.tokenizer), longest_prompt=8)
    short, long = scorer.tokenize(["the film is a joy", "the plot is far too long, " * 3])
    assert len(short) <= scorer.family.longest_reused < len(long)
    scorer.prefill([short, long], {"suffix"})
    assert scorer.cache.encoded == 1
    found = scorer.log_probs(PROMPTS, [short, long])
    assert scorer.family.distrust
    expected = plain(scorer).log_probs(PROMPTS, [short, long])
    torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)
    # The window matters here: going over the long text's states would give other scores.
    scorer.family.longest_reused = 1 << 30
    monkeypatch.setattr(CausalFamily, "trusts_cache", lambda self, texts: True)
    astray = scorer.log_probs(PROMPTS, [short, long])
    assert (astray - expected)[:, 1].abs().max() > 10 * FLOAT32_TOLERANCE


def test_a_text_may_fill_the_window_to_the_last_token(tmp_path: Path) -> None:
    model = windowed("every layer", 30, tmp_path / "model")
    task = build_task(DEMO_TASK, model.tokenizer)
    scorer = Scorer(model, task, longest_prompt=8)
    text = tuple(range(1, 1 + 30 - 8 - len(task.question.tail_ids)))
    assert len(text) == scorer.family.longest_reused
    prompts = [Prompt("", tuple(range(100, 108)))]
    expected = plain(scorer).log_probs(prompts, [text, text[:5]])
    found = scorer.log_probs(prompts, [text, text[:5]])
    assert scorer.cache.encoded == 2
    torch.testing.assert_close(found, expected, atol=FLOAT32_TOLERANCE, rtol=0)


def test_a_kv_prompt_on_a_windowed_model_answers_as_with_full_attention(tmp_path: Path) -> None:
    """What fits the window is seen whole."""
    narrow = windowed("every layer", 40, tmp_path / "narrow")
    wide = windowed("every layer", 4000, tmp_path / "wide")
    shape = KeysAndValues(narrow).row_shape
    assert shape is not None
    assert narrow.takes_rows
    rows = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    scores = []
    for model in (narrow, wide):
        scorer = Scorer(model, build_task(DEMO_TASK, model.tokenizer), longest_prompt=8)
        texts = scorer.tokenize([row["text"] for row in TEXTS[:6]])
        scores.append(scorer.log_probs([kv_prompt(rows, "end")], texts))
    torch.testing.assert_close(*scores, atol=FLOAT32_TOLERANCE, rtol=0)


def test_a_config_says_what_its_layers_see() -> None:
    assert text_window(Qwen2Config(sliding_window=100)) is None
    assert text_window(MistralConfig(sliding_window=None)) is None
    config = Qwen2Config()
    config.layer_types = ["full_attention", "linear_attention"]
    assert not keeps_whole_text(config)
