"""Gradients of a model in float16, which ends at 6e-8."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM

from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Laid, lay, lay_rows
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.text_states import KeysAndValues, TokenIds
from autoprompt.workers.tuners import Examples, training
from autoprompt.workers.tuners.progress import Backward
from autoprompt.workers.tuners.training import Graded, finite, grade
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS

LABELS = torch.tensor([0, 1, 1, 0])


@pytest.fixture(scope="module")
def faint(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scorer]:
    """A model that hardly tells words apart, so that its gradients are small, in two dtypes."""
    model = LlamaForCausalLM.from_pretrained(tiny_folder)
    for layer in (model.get_output_embeddings(), model.model.norm):
        layer.weight.data *= 2.0**-9
    folder = tmp_path_factory.mktemp("faint")
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folder)
    scorers = {}
    for dtype in ("float16", "float32"):
        frozen = load_model(ModelSpec(path=str(folder), dtype=dtype))
        scorers[dtype] = Scorer(frozen, build_task(DEMO_TASK, frozen.tokenizer), 8)
    return scorers


def texts_of(scorer: Scorer) -> list[TokenIds]:
    return scorer.tokenize([row["text"] for row in TEXTS[:4]])


def prompt(kind: str, scorer: Scorer, seed: int = 0) -> Laid:
    generator = torch.Generator().manual_seed(seed)
    if kind == "kv":
        states = scorer.cache.states
        assert isinstance(states, KeysAndValues)
        assert states.row_shape is not None
        rows = torch.randn(2, *states.row_shape, generator=generator)
        return lay_rows(rows.requires_grad_(), "end")
    vectors = torch.randn(2, scorer.model.hidden_size, generator=generator)
    return lay(vectors.requires_grad_(), "suffix" if kind == "suffix" else "prefix")


def graded_on(scorer: Scorer, prompts: Sequence[Laid]) -> list[Graded]:
    return grade(steps_of(prompts), scorer, examples_of(scorer))


def steps_of(prompts: Sequence[Laid]) -> list[Backward]:
    return [Backward(laid, list(range(len(LABELS)))) for laid in prompts]


def examples_of(scorer: Scorer) -> Examples:
    return Examples(texts_of(scorer), LABELS, [], LABELS[:0])


def gradient(graded: Graded) -> Tensor:
    return torch.cat([part.flatten() for part in graded.gradient if part is not None])


@pytest.mark.parametrize("kind", ["kv", "suffix", "prefix"])
def test_small_gradients_arrive_in_float16(
    kind: str, faint: dict[str, Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(scorer: Scorer) -> float:
        found = gradient(graded_on(scorer, [prompt(kind, scorer)])[0])
        assert found.dtype == torch.float32
        return float((found - exact).norm() / exact.norm())

    whole = faint["float32"]
    exact = gradient(graded_on(whole, [prompt(kind, whole)])[0])
    assert off(faint["float16"]) < 0.02
    monkeypatch.setattr(training, "_LOSS_SCALE", {})
    assert off(faint["float16"]) > 0.2


def test_a_scale_that_is_too_much_is_lowered_within_the_step(
    faint: dict[str, Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = faint["float16"]
    prompts = [prompt("suffix", scorer, seed) for seed in range(2)]
    expected = graded_on(scorer, prompts)
    too_much = training._LOSS_SCALE[torch.float16] * training._BACK_OFF**8
    monkeypatch.setattr(training, "_LOSS_SCALE", {torch.float16: too_much})
    first = training._graded(steps_of(prompts), scorer, examples_of(scorer), too_much)
    assert finite(first) == [False, False]
    graded = graded_on(scorer, prompts)
    assert finite(graded) == [True, True]
    for lowered, usual in zip(graded, expected, strict=True):
        assert lowered.loss == usual.loss
        torch.testing.assert_close(gradient(lowered), gradient(usual), rtol=0.02, atol=1e-6)


def test_who_fits_is_not_asked_again(
    faint: dict[str, Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = faint["float16"]
    prompts = [prompt("suffix", scorer, seed) for seed in range(3)]
    graded, asked = training._graded, []

    def spoiled(steps: Sequence[Backward], *arguments: object) -> list[Graded]:
        found = graded(steps, *arguments)  # type: ignore[arg-type]
        asked.append((len(steps), arguments[-1]))
        if len(asked) == 1:
            found[1] = Graded(found[1].loss, (torch.full((2, 32), torch.inf),))
        return found

    expected = graded(steps_of(prompts), scorer, examples_of(scorer), 2.0**12)
    monkeypatch.setattr(training, "_graded", spoiled)
    found = graded_on(scorer, prompts)
    assert asked == [(3, 2.0**12), (1, 2.0**8)]
    assert finite(found) == [True] * 3
    for place in (0, 2):
        assert torch.equal(gradient(found[place]), gradient(expected[place]))


def test_a_loss_that_is_no_number_is_not_tried_again(
    faint: dict[str, Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = faint["float16"]
    spoiled = lay(torch.full((2, 32), torch.nan).requires_grad_(), "suffix")
    scales = []
    graded = training._graded

    def noted(*arguments: object) -> list[Graded]:
        scales.append(arguments[-1])
        return graded(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_graded", noted)
    assert finite(graded_on(scorer, [spoiled])) == [False]
    assert len(scales) == 1
