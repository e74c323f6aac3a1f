"""Baselines that train weights of the model itself: what a prompt is spared, and held against.

They are asked for by name, as they take as long as many trials. What they learn is not kept: a
whole model has no place in a store, so that they answer all texts at once while they are there.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from autoprompt.workers.batches import batches
from autoprompt.workers.data import Split
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds

#: How often each text is learnt from, and steps at most; texts of a step.
_EPOCHS, _MOST_STEPS, _BATCH = 5, 3000, 16

#: The part of the steps over which the rate rises; the largest norm of a gradient.
_WARM_UP, _CLIP = 0.1, 1.0

_TOKENS_PER_BATCH = 2048


class Trained(ABC):
    """One kind, on a model of its own, which it changes.

    Attributes:
        rates: learning rates, of which validation chooses.
    """

    rates: ClassVar[tuple[float, ...]]

    @classmethod
    def model(cls, spec: ModelSpec) -> ModelSpec:
        """How the model is to be held."""
        return spec

    @abstractmethod
    def unfrozen(self, model: FrozenModel) -> list[nn.Parameter]:
        """What is trained, made ready for it."""

    @abstractmethod
    def shipped_bytes(self, trained: Sequence[nn.Parameter], model: FrozenModel) -> int:
        """What must be shipped of it."""


class LoRA(Trained):
    """Low-rank changes of every layer's weights (Hu et al. 2022), by PEFT: rank 8."""

    rates: ClassVar[tuple[float, ...]] = (1e-4, 3e-4, 1e-3)

    @classmethod
    def model(cls, spec: ModelSpec) -> ModelSpec:
        """In float32 rather than float16, in which small gradients vanish."""
        return spec.model_copy(update={"dtype": "float32"}) if spec.dtype == "float16" else spec

    def unfrozen(self, model: FrozenModel) -> list[nn.Parameter]:
        from peft import LoraConfig, inject_adapter_in_model

        whole = model.model
        behind = {id(module) for module in whole.get_output_embeddings().modules()}
        layers = [
            name
            for name, module in whole.named_modules()
            if isinstance(module, nn.Linear) and id(module) not in behind
        ]
        inject_adapter_in_model(LoraConfig(r=8, lora_alpha=16, target_modules=layers), whole)
        trained = []
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_("lora_" in name)
            if "lora_" in name:
                parameter.data = parameter.data.float()
                trained.append(parameter)
        return trained

    def shipped_bytes(self, trained: Sequence[nn.Parameter], model: FrozenModel) -> int:
        return sum(parameter.nbytes for parameter in trained)


class FineTuning(Trained):
    """All weights of the model, its embeddings and its output layer among them."""

    rates: ClassVar[tuple[float, ...]] = (1e-5, 3e-5, 1e-4)

    @classmethod
    def model(cls, spec: ModelSpec) -> ModelSpec:
        """Whole, and in float32: a small step vanishes in fewer digits."""
        return spec.model_copy(update={"dtype": "float32", "quantization": "none"})

    def unfrozen(self, model: FrozenModel) -> list[nn.Parameter]:
        trained = list(model.model.parameters())
        for parameter in trained:
            # A copy: what was loaded may be mapped from a file that others read.
            parameter.data = parameter.data.clone()
            parameter.requires_grad_(True)
        return trained

    def shipped_bytes(self, trained: Sequence[nn.Parameter], model: FrozenModel) -> int:
        return sum(parameter.nbytes for parameter in trained)


def train(
    scorer: Scorer,
    trained: Sequence[nn.Parameter],
    train: Split,
    rate: float,
    seed: int,
    weights: Tensor | None = None,
) -> None:
    """AdamW over a few epochs, the rate rising and then falling to 0; without dropout.

    Args:
        weights: [B], what the loss of each text counts; None for all alike.

    Raises:
        RuntimeError: memory does not hold a step.
    """
    from transformers import get_linear_schedule_with_warmup

    texts, labels = scorer.tokenize(train.texts), torch.tensor(train.labels)
    steps = max(1, min(_MOST_STEPS, _EPOCHS * len(texts) // _BATCH))
    optimizer = torch.optim.AdamW(trained, lr=rate)
    schedule = get_linear_schedule_with_warmup(optimizer, round(_WARM_UP * steps), steps)
    drawn = _drawn(len(texts), seed)
    for _ in range(steps):
        places = [next(drawn) for _ in range(min(_BATCH, len(texts)))]
        scores = _scores(scorer, [texts[place] for place in places])
        losses = scorer.task.readout.losses(scores[None], labels[places].to(scores.device))
        if weights is not None:
            losses = losses * weights[places].to(scores.device)
        optimizer.zero_grad()
        losses.mean().backward()
        nn.utils.clip_grad_norm_(trained, _CLIP)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def answered(scorer: Scorer, texts: Sequence[Text]) -> Tensor:
    """[B, A], the answers' log-probabilities by the model as it is now."""
    tokens, readout = scorer.tokenize(texts), scorer.task.readout
    found = torch.empty(len(tokens), readout.size)
    lengths = [len(ids) for ids in tokens]
    for batch in batches(lengths, lengths, _TOKENS_PER_BATCH):
        scores = _scores(scorer, [tokens[place] for place in batch]).cpu()
        found[batch] = readout.log_probs(scores, torch.zeros(readout.size))
    return found


def _scores(scorer: Scorer, texts: Sequence[TokenIds]) -> Tensor:
    """[B, A] without a prompt, nothing reused: what was kept of a text was another model's."""
    return scorer.family.trusted(Prompt("").embedded(scorer.model), texts)


def _drawn(count: int, seed: int) -> Iterator[int]:
    """Places without end: each once in every epoch, in another order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator).tolist()
