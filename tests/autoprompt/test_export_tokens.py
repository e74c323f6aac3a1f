"""`--format tokens`: a prompt as text, which transformers reads as the search read its vectors."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from tokenizers import processors
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerFast

from autoprompt.api import load
from autoprompt.results import SearchResult
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt, soft_prompt
from tests.autoprompt.test_export import (
    ASKED,
    TOLERANCE,
    made_search,
    run_here,
    scorer_of,
)
from tests.tiny import save_tiny_bert, save_tiny_gguf, save_tiny_model

TEMPLATE = "Review: {text}\nSentiment:"


def asked_in(folder: Path) -> str:
    [prompt] = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["prompts"]
    return str(prompt["server_text"])


def logits_of(folder: Path, text: str, **options: Any) -> torch.Tensor:
    """[V], of the token behind a text, as a server would read both from a folder."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
    if options:
        options["quantization_config"] = GgufConfig(dequantize=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return model(input_ids=ids).logits[0, -1]


def words_read(folder: Path, logits: torch.Tensor) -> torch.Tensor:
    """[L] log-probabilities among the words' first tokens, less the prior."""
    export = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    first = [word["ids"][0] for word in export["task"]["words"]]
    prior = torch.tensor(export["prompts"][0]["prior"] or [0.0] * len(first))
    return (logits[first].log_softmax(-1) - prior).log_softmax(-1)


def begin_with_a_token(folder: Path) -> None:
    """Let a model's tokenizer put its first token before every input, as Llama's does."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<end> $A", special_tokens=[("<end>", 0)]
    )
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("tied", "position", "begins"),
    [
        (True, "suffix", False),
        (False, "end", False),
        (True, "both", True),
        (False, "prefix", False),
        (False, "end", True),
    ],
)
def test_the_folder_reads_text_as_the_search_read_vectors(
    tied: bool, position: Any, begins: bool, tmp_path: Path
) -> None:
    path = save_tiny_model(tmp_path / "model", tie_word_embeddings=tied)
    if begins:
        begin_with_a_token(path)
    model = load_model(ModelSpec(path=str(path), dtype="float32"))
    vectors = torch.randn(3, model.hidden_size, generator=torch.Generator().manual_seed(1))
    prompt = soft_prompt(vectors, position, model)
    result = made_search(path, TEMPLATE, prompt, tmp_path / "store.db")
    folder = result.export(tmp_path / "out", "tokens")
    asked = asked_in(folder)
    assert asked.count("Review: {text}") == 1
    for text, own in zip(ASKED, scorer_of(result).score_texts([prompt], ASKED)[0], strict=True):
        logits = logits_of(folder, asked.replace("{text}", text))
        torch.testing.assert_close(words_read(folder, logits), own, atol=TOLERANCE, rtol=0)
        new = logits[model.embeddings.shape[0] :]
        assert len(new) == asked.count("<p")
        torch.testing.assert_close(
            new, logits[: -len(new)].mean().expand_as(new), atol=1e-4, rtol=0
        )


def test_the_loader_in_the_folder_needs_no_other_model(
    finished: SearchResult, tmp_path: Path
) -> None:
    folder = finished.export(tmp_path / "out", "tokens", ensemble=True)
    assert not (folder / "prompts.safetensors").exists(), "vLLM reads every such file as weights"
    lines = run_here(folder / "predict.py", *ASKED).splitlines()
    for row, expected in zip(map(json.loads, lines), finished.ensemble.predict(ASKED), strict=True):
        assert (row["label"], row["votes"]) == (expected.label, pytest.approx(expected.votes))
        # Words of several tokens are as probable as among all tokens, and there are more now.
        assert row["probability"] == pytest.approx(expected.probability, abs=1e-3)
    assert [one.label for one in load(folder).predict(ASKED)] == [
        one.label for one in finished.ensemble.predict(ASKED)
    ]


def test_a_gguf_file_is_copied_with_more_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    tiny = save_tiny_model(tmp_path / "tiny", tie_word_embeddings=True)
    file = save_tiny_gguf(tiny, tmp_path / "tiny.gguf", GGMLQuantizationType.Q8_0)
    model = load_model(ModelSpec(path=str(file), dtype="float32"))
    vectors = torch.randn(3, model.hidden_size, generator=torch.Generator().manual_seed(1))
    prompt = soft_prompt(vectors, "end", model)
    result = made_search(file, TEMPLATE, prompt, tmp_path / "store.db")
    folder = result.export(tmp_path / "out", "tokens")
    asked = asked_in(folder).replace("{text}", ASKED[0])
    own = scorer_of(result).score_texts([prompt], ASKED[:1])[0]
    logits = logits_of(folder, asked)
    torch.testing.assert_close(words_read(folder, logits), own[0], atol=TOLERANCE, rtol=0)

    old, new = GGUFReader(file), GGUFReader(folder / "model.gguf")
    before, after = ({each.name: each for each in one.tensors} for one in (old, new))
    grown = "token_embd.weight"
    for name in before.keys() - {grown}:
        assert after[name].tensor_type == before[name].tensor_type
        np.testing.assert_array_equal(after[name].data, before[name].data)
    assert after[grown].tensor_type == GGMLQuantizationType.F32
    output = after["output.weight"]
    assert output.tensor_type == before[grown].tensor_type
    np.testing.assert_array_equal(output.data[: len(before[grown].data)], before[grown].data)
    names, kinds = (
        new.get_field(f"tokenizer.ggml.{field}").contents() for field in ("tokens", "token_type")
    )
    assert len(names) == len(kinds) == len(after[grown].data) == len(output.data)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(asked).input_ids
    # Their ids need not be the same: transformers adds tokens of its own to some tokenizers.
    there = [names.index(token) for token in tokenizer.convert_ids_to_tokens(ids)]
    options = {"gguf_file": "model.gguf", "quantization_config": GgufConfig(dequantize=True)}
    whole: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    with torch.no_grad():
        read = whole(input_ids=torch.tensor([there])).logits[0, -1]
    size = len(before[grown].data)
    torch.testing.assert_close(read[:size], logits[:size], atol=1e-4, rtol=0)
    # The mean is quantised, as all output rows are.
    mean = logits[:size].mean().expand(len(read) - size)
    torch.testing.assert_close(read[size:], mean, atol=1e-2, rtol=0)
    torch.testing.assert_close(logits[size:], mean[0].expand(len(logits) - size), atol=1e-4, rtol=0)


def test_what_no_token_can_stand_for_is_refused(finished: SearchResult, tmp_path: Path) -> None:
    kv = Prompt("made", rows=torch.zeros(2, 1, 2, 1, 2))
    record = replace(finished.best_prompt, number=77, content=kv.to_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(finished), "best_prompt", record)
        best = finished.best
        with pytest.raises(ValueError, match="trial 77 is a kv prompt, keys and values") as refused:
            finished.export(tmp_path / "out", "tokens")
    assert f"--format json, or --trial {best.number}, the best that new tokens can" in str(refused)
    bert = save_tiny_bert(tmp_path / "bert")
    model = load_model(ModelSpec(path=str(bert), dtype="float32"))
    prompt = soft_prompt(torch.zeros(1, model.hidden_size), "prefix", model)
    result = made_search(bert, "{text} It was {mask}.", prompt, tmp_path / "store.db")
    with pytest.raises(ValueError, match="this model is a masked one; use --format json"):
        result.export(tmp_path / "out", "tokens")
    assert not (tmp_path / "out").exists()
