"""Same embeddings in, same logits out as PEFT's prompt tuning: causal, and on an encoder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from autoprompt.workers.adapter import resolve
from autoprompt.workers.data import Split
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS, save_tiny_t5

TOLERANCE = 1e-4


def peft_logits(folder: str, vectors: Tensor, rows: list[tuple[int, ...]], side: str) -> Tensor:
    """PEFT's logits at the last token of each row, [B, V], from one padded batch."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=len(vectors))
    model: Any = get_peft_model(base, config).eval()
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight.copy_(vectors)
        longest = max(len(row) for row in rows)
        pads = [[0] * (longest - len(row)) for row in rows]
        if side == "right":
            ids = [[*row, *pad] for row, pad in zip(rows, pads, strict=True)]
            mask = [[1] * len(row) + pad for row, pad in zip(rows, pads, strict=True)]
            last = torch.tensor([len(row) - 1 for row in rows])
        else:
            ids = [[*pad, *row] for row, pad in zip(rows, pads, strict=True)]
            mask = [pad + [1] * len(row) for row, pad in zip(rows, pads, strict=True)]
            last = torch.full((len(rows),), longest - 1)
        logits = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
    found: Tensor = logits[torch.arange(len(rows)), last + len(vectors)]
    return found


def check(model: FrozenModel, folder: str, texts: tuple[str, ...], side: str) -> None:
    scorer = Scorer(model, build_task(DEMO_TASK, model.tokenizer), longest_prompt=8)
    generator = torch.Generator().manual_seed(1)
    scale = float(model.embeddings.float().std())
    vectors = scale * torch.randn(5, model.hidden_size, generator=generator)
    tokens = scorer.tokenize(texts)
    prompt = Prompt("", vectors=vectors, position="prefix")
    rows = [(*text, *scorer.task.question.tail_ids) for text in tokens]
    theirs = peft_logits(folder, vectors, rows, side)[:, list(scorer.task.readout.starts)]
    # PEFT counts the padding before a text as positions, so only texts without any are the same
    # to it as they are alone.
    longest = max(len(row) for row in rows)
    same = torch.tensor([side == "right" or len(row) == longest for row in rows])
    assert same.any()
    for trained in (False, True):
        # A prefix being trained takes the plain path, one that is not shares its own states.
        with torch.set_grad_enabled(trained):
            embedded = prompt.embedded(model, vectors.clone().requires_grad_(trained))
            ours = scorer.label_logits([embedded], tokens)[0].detach()
        torch.testing.assert_close(ours[same], theirs[same], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_causal_prefix_on_a_tiny_model(
    side: str, tiny_model: FrozenModel, tiny_folder: Path
) -> None:
    check(tiny_model, str(tiny_folder), tuple(row["text"] for row in TEXTS[::9]), side)


def test_a_causal_prefix_on_the_real_model(
    real_model: FrozenModel, real_spec: ModelSpec, movies: Split
) -> None:
    check(real_model, resolve(real_spec), movies.texts[:4], "right")


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_encoders_prefix(side: str, tmp_path: Path) -> None:
    """Lester et al. put the prompt before the encoder's input, and leave the decoder's alone."""
    folder = str(save_tiny_t5(tmp_path / "model"))
    model = load_model(ModelSpec(path=folder, dtype="float32"))
    task = build_task(
        TaskSpec.model_validate(
            {"template": "Review: {text}", "label_words": {"n": "dull", "p": "great"}}
        ),
        model.tokenizer,
        model.family,
    )
    scorer = Scorer(model, task, longest_prompt=8)
    vectors = torch.randn(5, model.hidden_size, generator=torch.Generator().manual_seed(1))
    tokens = scorer.tokenize([row["text"] for row in TEXTS[::9]])
    prompt = Prompt("", vectors=vectors, position="prefix")
    ours = scorer.label_logits([prompt.embedded(model)], tokens)[0]

    config = PromptTuningConfig(
        task_type=TaskType.SEQ_2_SEQ_LM, num_virtual_tokens=5, num_transformer_submodules=1
    )
    base = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    theirs: Any = get_peft_model(base, config).eval()
    theirs.prompt_encoder["default"].embedding.weight.data.copy_(vectors)
    encoded = [[*text, model.tokenizer.eos_token_id] for text in tokens]
    model.tokenizer.padding_side = side
    batch = model.tokenizer.pad({"input_ids": encoded}, return_tensors="pt")
    start = torch.zeros(len(tokens), 1, dtype=torch.long)
    with torch.no_grad():
        logits = theirs(**batch, decoder_input_ids=start).logits[:, -1]
    expected = logits[:, list(task.readout.starts)]
    assert expected.std() > 0.1
    # Its positions are relative, so padding on the left moves the prompt away from the text.
    whole = batch["attention_mask"].all(-1) if side == "left" else slice(None)
    torch.testing.assert_close(ours[whole], expected[whole], atol=TOLERANCE, rtol=0)
