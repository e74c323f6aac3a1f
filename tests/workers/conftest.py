"""What tests of the tuners share, and those of answers of several tokens."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import TaskSpec, build_task
from autoprompt.workers.tuners import Examples
from tests import tiny
from tests.tiny import TEXTS


@pytest.fixture
def examples(tiny_scorer: Scorer) -> Examples:
    texts = tiny_scorer.tokenize([row["text"] for row in TEXTS])
    labels = torch.tensor([int(row["label"] == "positive") for row in TEXTS])
    return Examples(texts[::2], labels[::2], texts[1::2], labels[1::2])


@pytest.fixture(scope="session")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scorer]:
    """A fresh scorer over a tiny model, which is loaded once, by name: a Llama whose attention is
    "merged", or its own ("copied"), or one whose cache is not trusted ("alone"); "t5", "bart" and
    "bert"; and behind a comma "long head", of which texts are read once."""
    loaded: dict[str, FrozenModel] = {}
    # With smaller weights it would say one thing of every text.
    t5 = partial(tiny.save_tiny_t5, initializer_factor=2.0)
    save = {"t5": t5, "bart": tiny.save_tiny_bart, "bert": tiny.save_tiny_bert}

    def model_of(name: str) -> FrozenModel:
        folder = save.get(name, tiny.save_tiny_model)(tmp_path_factory.mktemp(name) / "model")
        if name != "copied":
            return load_model(ModelSpec(path=str(folder), dtype="float32"))
        bare = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return FrozenModel(bare, AutoTokenizer.from_pretrained(folder))

    def scorer(name: str) -> Scorer:
        kind, _, head = name.partition(", ")
        base = "copied" if kind == "alone" else kind
        if base not in loaded:
            loaded[base] = model_of(base)
            if base == "bart":  # whose own would have `generate` end an answer at the limit
                loaded[base].model.generation_config.forced_eos_token_id = None
        model = loaded[base]
        template = "Review: {text} Sentiment:"
        if kind == "bert":
            template += " {mask}"
        if head:
            template = f"Review: {'the plot is dull. ' * 4}{template}"
        words = {"negative": ("dull",), "positive": ("great",)}
        task = build_task(
            TaskSpec(template=template, label_words=words), model.tokenizer, model.family
        )
        made = Scorer(model, task, longest_prompt=16)
        if kind == "alone":
            made.family._trusts_cache = False
        return made

    return scorer
