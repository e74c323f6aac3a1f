"""On a device of its own a model is asked without waiting for it.

Torch's meta device stands for a GPU: it computes shapes alone, so that whatever is read from it (a
number, a truth value, a copy to the host) is an error, as is a tensor on another device.
"""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Laid, Prompt, lay, lay_rows
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.text_states import KeysAndValues
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS

META = torch.device("meta")
WORDS = DEMO_TASK.model_copy(
    update={"label_words": {"negative": ("a mess",), "positive": ("a joy",)}}
)


@pytest.fixture
def far(tiny_folder: Path) -> FrozenModel:
    model = load_model(ModelSpec(path=str(tiny_folder), dtype="float32"))
    model.model.to(META)
    model.embeddings = model.model.get_input_embeddings().weight
    return model


def laid(kind: str, model: FrozenModel) -> Laid:
    if kind.startswith("kv"):
        shape = KeysAndValues(model).row_shape
        assert shape is not None
        rows = torch.zeros(3, *shape, device=META, requires_grad=True)
        return lay_rows(rows, "end" if kind.endswith("end") else "suffix")
    vectors = torch.zeros(3, model.hidden_size, device=META, requires_grad=True)
    return lay(vectors, "end" if kind.endswith("end") else "suffix")


@pytest.mark.parametrize("scoring", ["first_token", "sum", "tree"])
@pytest.mark.parametrize("kind", ["soft at suffix", "soft at end", "kv at suffix", "kv at end"])
def test_a_pass_and_its_gradients_read_nothing_from_the_device(
    kind: str, scoring: str, far: FrozenModel
) -> None:
    spec: TaskSpec = DEMO_TASK if scoring == "first_token" else WORDS
    task: Task = build_task(
        spec.model_copy(update={"label_scoring": scoring}), far.tokenizer, far.family
    )
    scorer = Scorer(far, task, longest_prompt=8)
    prompts = [laid(kind, far) for _ in range(3)]
    texts = scorer.tokenize([row["text"] for row in TEXTS[:5]])
    labels = torch.zeros(5, dtype=torch.long, device=META)
    losses = task.readout.losses(scorer.family.at_once(prompts, texts), labels)
    assert losses.shape == (3, 5)
    trained = [part for prompt in prompts for part in prompt if len(part)]
    gradients = torch.autograd.grad(losses.sum(), trained)
    assert [gradient.device for gradient in gradients] == [META] * 3


def test_texts_are_read_and_laid_out_there(far: FrozenModel) -> None:
    states = KeysAndValues(far)
    scorer = Scorer(far, build_task(DEMO_TASK, far.tokenizer, far.family), longest_prompt=8)
    texts = scorer.tokenize([row["text"] for row in TEXTS[:5]])
    passages = scorer.family.keys([laid("soft at end", far)], texts)
    rows = states.encode(passages)
    assert rows.device == META
    assert rows.shape == (5, max(len(passage.ids) for passage in passages), states.width)
    batch = states.batch([row[: len(own.ids)] for row, own in zip(rows, passages, strict=True)])
    assert {part.device for pair in batch for part in pair} == {META}


@torch.no_grad()
@pytest.mark.parametrize("position", ["suffix", "prefix"])
def test_a_plain_pass_goes_over_layers_on_two_devices(
    position: Position, tiny_folder: Path
) -> None:
    """The last layer on a device of its own, and whatever a layer is given moved there, as
    accelerate does."""
    model = load_model(ModelSpec(path=str(tiny_folder), dtype="float32"))

    def moved(_: Any, inputs: Any, options: Any) -> Any:
        return torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda t: t.to(META), (inputs, options)
        )

    for part in (model.model.model.layers[-1], model.model.model.norm):
        part.to(META).register_forward_pre_hook(moved, with_kwargs=True)
    model._readout.to(META)
    model.model.hf_device_map = {"": "cpu", "model.layers.1": "meta", "model.norm": "meta"}
    scorer = Scorer(model, build_task(DEMO_TASK, model.tokenizer, model.family), longest_prompt=8)
    texts = scorer.tokenize([row["text"] for row in TEXTS[:5]])
    prompt = lay(torch.zeros(3, model.hidden_size), position)
    assert scorer.family.plain(prompt, texts).device == META


class Indices(TorchDispatchMode):
    """The dtypes of what numbers are put at."""

    dtypes: ClassVar[list[torch.dtype]] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        if operator is torch.ops.aten.index_put.default:
            self.dtypes += [index.dtype for index in arguments[1]]
        return operator(*arguments, **(options or {}))


def test_a_mixed_prompt_is_laid_out_there(far: FrozenModel) -> None:
    mixed = Prompt("", token_ids=(5, -1, -1, 7), vectors=torch.ones(2, 32))
    with Indices() as indices:
        assert mixed.embedded(far).back.device == META
    # A mask would be counted first, and waited for.
    assert indices.dtypes == [torch.long]


def test_the_label_words_rows_are_cut_out_once(tiny_scorer: Scorer) -> None:
    texts = tiny_scorer.tokenize([TEXTS[0]["text"]])
    nothing = lay(torch.empty(0, tiny_scorer.model.hidden_size), "suffix")
    tiny_scorer.label_logits([nothing], texts)
    rows = tiny_scorer.model._readout._weight
    assert rows is not None
    tiny_scorer.label_logits([nothing], texts)
    assert tiny_scorer.model._readout._weight is rows
