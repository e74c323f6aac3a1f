"""What `dtype: auto` stands for: on a GPU bfloat16, where it computes in it natively; on a CPU the
dtype that runs faster there.

A processor's flags do not say. There are hosts with AVX512-BF16 on which bfloat16 runs at half of
float32's rate, so both are tried on products of the model's own widths, forward and backward: what
a feed-forward layer of a frozen model does in a training step.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.torch_threads import torch_threads

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

#: By so much bfloat16 has to be faster: it rounds to three digits.
_CLEARLY = 1.1

#: Tokens of a training step behind cached texts: a dozen of the prompt, for 16 texts.
_TOKENS = 192
#: Enough to see a dtype that the processor does not compute in, which may be 50 times slower.
_FEW_TOKENS = 16
_HOPELESS = 0.5

#: Weights of one product: a larger layer is tried on a slice, as wide as its input.
_MOST_WEIGHTS = 1 << 20

_REPEATS = range(2, 6)
_SECONDS = 0.2

#: What configs call the width of a feed-forward layer.
_INNER_WIDTHS = ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "d_ff", "n_inner")


def choose_dtype(spec: ModelSpec, config: Any, device: torch.device) -> torch.dtype:
    """The dtype that a model is to be held in.

    A search fixes it once, before it starts; where there is none, `auto` is measured in this very
    process.

    Args:
        config: the model's, from transformers.
    """
    if spec.dtype != "auto":
        return _DTYPES[spec.dtype]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    if device.type != "cpu" or is_quantized(spec, config):
        return torch.float32
    return _DTYPES[measured_rates(config).choice]


def is_quantized(spec: ModelSpec, config: Any) -> bool:
    """Whether a model's weights are in few bits, so that no product of theirs is in a dtype."""
    return spec.quantization != "none" or bool(getattr(config, "quantization_config", None))


@dataclass(frozen=True)
class Rates:
    """Floating-point operations a second, in either dtype."""

    float32: float
    bfloat16: float

    @property
    def choice(self) -> str:
        """float32, unless bfloat16 is clearly faster."""
        return "bfloat16" if self.bfloat16 >= _CLEARLY * self.float32 else "float32"

    def __str__(self) -> str:
        """The choice, and why: `float32 (bfloat16 ran at 0.5 of its rate here)`."""
        chosen = self.choice
        other = "float32" if chosen == "bfloat16" else "bfloat16"
        share = getattr(self, other) / getattr(self, chosen)
        return f"{chosen} ({other} ran at {share:.2g} of its rate here)"


def measured_rates(config: Any, threads: int | None = None) -> Rates:
    """The rates at a model's own widths; measured once a process, in well under a second.

    Args:
        config: the model's, from transformers.
        threads: that a worker will have; None for those of this process.
    """
    hidden, inner = _widths(config.get_text_config(decoder=True))
    return _measured(hidden, inner, threads or torch.get_num_threads())


def encoding_rate(config: Any, dtype: str, threads: int | None = None) -> float:
    """Tokens a second that a model reads without gradients, by the products of its layers.

    Args:
        config, threads: as `measured_rates` has them.
        dtype: that the model is held in.
    """
    text_config = config.get_text_config(decoder=True)
    rates = measured_rates(config, threads)
    rate = rates.float32 if dtype == "float32" else rates.bfloat16
    hidden, inner = _widths(text_config)
    # Attention's four, and a gated feed-forward's three: most models have about as many.
    weights = getattr(text_config, "num_hidden_layers", 1) * (
        4 * hidden * hidden + 3 * hidden * inner
    )
    return rate / (2 * weights)


def _widths(text_config: Any) -> tuple[int, int]:
    hidden = int(text_config.hidden_size)
    widths = (getattr(text_config, name, None) for name in _INNER_WIDTHS)
    return hidden, next((width for width in widths if isinstance(width, int)), 4 * hidden)


@cache
def _measured(hidden: int, inner: int, threads: int) -> Rates:
    inner = min(inner, max(64, _MOST_WEIGHTS // hidden))
    with torch_threads(threads):
        rates = _race(hidden, inner, _FEW_TOKENS)
        if rates.bfloat16 < _HOPELESS * rates.float32:
            return rates
        return _race(hidden, inner, _TOKENS)


def _race(hidden: int, inner: int, tokens: int) -> Rates:
    """Both dtypes in turn, so that both meet the same disturbances; the best of a few rounds."""
    layers = [_Layer(hidden, inner, tokens, dtype) for dtype in (torch.float32, torch.bfloat16)]
    best = [float("inf")] * 2
    started = time.perf_counter()
    for repeat in range(_REPEATS.stop):
        if repeat >= _REPEATS.start and time.perf_counter() - started > _SECONDS:
            break
        best = [min(seconds, layer.step()) for seconds, layer in zip(best, layers, strict=True)]
    operations = 8.0 * tokens * hidden * inner
    return Rates(*(operations / seconds for seconds in best))


class _Layer:
    """A feed-forward layer whose weights are frozen."""

    def __init__(self, hidden: int, inner: int, tokens: int, dtype: torch.dtype) -> None:
        # Of its own, so that what is drawn later does not depend on whether this was run.
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator).to(dtype)

        self._inputs = drawn(tokens, hidden).requires_grad_()
        self._up, self._down = drawn(inner, hidden), drawn(hidden, inner)
        self._gradient = drawn(tokens, hidden)

    def step(self) -> float:
        """Forward and backward once: seconds."""
        started = time.perf_counter()
        outputs = linear(linear(self._inputs, self._up), self._down)
        torch.autograd.grad(outputs, self._inputs, self._gradient)
        return time.perf_counter() - started


def dtype_by_flags() -> str:
    """What `auto` stood for on a CPU in searches that stored none: the processor's flags."""
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"
