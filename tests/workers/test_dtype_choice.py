"""What `dtype: auto` stands for on a CPU."""

import pytest
import torch
from transformers import GPT2Config, LlamaConfig

from autoprompt.workers import dtype_choice
from autoprompt.workers.dtype_choice import Rates, choose_dtype, measured_rates
from autoprompt.workers.model_files import ModelSpec

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("rates", "choice", "account"),
    [
        (Rates(147e9, 72e9), "float32", "float32 (bfloat16 ran at 0.49 of its rate here)"),
        (Rates(100e9, 100e9), "float32", "float32 (bfloat16 ran at 1 of its rate here)"),
        (Rates(100e9, 109e9), "float32", "float32 (bfloat16 ran at 1.1 of its rate here)"),
        (Rates(100e9, 111e9), "bfloat16", "bfloat16 (float32 ran at 0.9 of its rate here)"),
        (Rates(100e9, 900e9), "bfloat16", "bfloat16 (float32 ran at 0.11 of its rate here)"),
    ],
)
def test_float32_unless_bfloat16_is_clearly_faster(rates: Rates, choice: str, account: str) -> None:
    assert rates.choice == choice
    assert str(rates) == account


def test_auto_is_what_was_measured_once_and_leaves_no_trace() -> None:
    config = LlamaConfig(hidden_size=32, intermediate_size=48)
    threads, drawn = torch.get_num_threads(), torch.get_rng_state()
    rates = measured_rates(config, threads + 1)
    assert min(rates.float32, rates.bfloat16) > 0
    assert measured_rates(config, threads + 1) is rates
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), drawn)
    expected = getattr(torch, measured_rates(config).choice)
    assert choose_dtype(ModelSpec(path="m"), config, CPU) is expected


def test_the_shapes_are_the_models_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def race(hidden: int, inner: int, tokens: int) -> Rates:
        shapes.append((hidden, inner))
        return Rates(1.0, 1.0)

    monkeypatch.setattr(dtype_choice, "_race", race)
    dtype_choice._measured.cache_clear()
    measured_rates(LlamaConfig(hidden_size=64, intermediate_size=112))
    measured_rates(GPT2Config(n_embd=48, n_head=4))
    measured_rates(LlamaConfig(hidden_size=4096, intermediate_size=14336))
    dtype_choice._measured.cache_clear()
    assert list(dict.fromkeys(shapes)) == [(64, 112), (48, 192), (4096, 256)]


def test_where_there_is_no_choice_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype_choice, "measured_rates", None)
    config = LlamaConfig(hidden_size=32)
    for dtype in ("float32", "bfloat16", "float16"):
        assert choose_dtype(ModelSpec(path="m", dtype=dtype), config, CPU) is getattr(torch, dtype)
    few_bits = ModelSpec(path="m", quantization="int4")
    assert choose_dtype(few_bits, config, CPU) is torch.float32
    config.quantization_config = {"quant_method": "gptq"}
    assert choose_dtype(ModelSpec(path="m"), config, CPU) is torch.float32
