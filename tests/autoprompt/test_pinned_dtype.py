"""The dtype of a search is decided once: stored with it, and taken from there ever after."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.resume import prepare_again
from autoprompt.controller.runner import create_search
from autoprompt.preparation import pinned_dtype
from autoprompt.preparation.pinned_dtype import with_dtype_before, with_pinned_dtype
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.search_model import model_of
from autoprompt.store import Store
from autoprompt.workers.dtype_choice import Rates, dtype_by_flags
from tests.conftest import write_yaml

QUIET = SearchProgress(quiet=True)


def measures(patch: pytest.MonkeyPatch, rates: Rates | None) -> None:
    """What the processor is made to show; None where it must not be asked."""

    def measured(config: Any, threads: int) -> Rates:
        assert rates is not None, "measured"
        assert (config.hidden_size, threads) == (32, 1)
        return rates

    patch.setattr(pinned_dtype, "measured_rates", measured)


def read(config: dict[str, Any], tmp_path: Path, **model: str) -> SearchConfig:
    config["model"] |= model
    return SearchConfig.read(write_yaml(tmp_path / "search.yaml", config))


def test_what_was_measured_is_stored_and_not_measured_again(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StringIO()
    measures(monkeypatch, Rates(float32=2.0, bfloat16=8.0))
    prepared = prepare(read(tiny_config, tmp_path, dtype="auto"), QUIET)
    pinned = with_pinned_dtype(prepared, 0.0, SearchProgress(Console(file=log)))
    assert pinned.job.model.dtype == "bfloat16"
    assert "dtype: bfloat16 (float32 ran at 0.25 of its rate here)" in log.getvalue()
    search = create_search(pinned, Store.open(tiny_config["store"]))
    assert search.config["model"]["dtype"] == "bfloat16"
    assert search.versions["dtype"].startswith("bfloat16 (float32 ran at 0.25")

    measures(monkeypatch, None)  # by now float32 might be the faster one
    again = with_dtype_before(prepare_again(search, tiny_config["store"], None, QUIET), 0.0)
    assert again.job.model.dtype == again.config.model.dtype == "bfloat16"
    assert model_of(search).dtype == "bfloat16"


def test_a_search_pins_its_dtype_by_itself(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["search"] |= {"trials": 1, "workers": 0, "rungs": 1}
    config = read(tiny_config, tmp_path, dtype="auto", device="cpu")
    record = autoprompt.search(config, quiet=True).record
    assert record.config["model"]["dtype"] in ("float32", "bfloat16")
    assert record.versions["dtype"].startswith(f"{record.config['model']['dtype']} (")


def test_a_dtype_that_was_asked_for_or_is_a_gpus_is_not_measured(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures(monkeypatch, None)

    def pinned(gpus: float, **model: str) -> str:
        prepared = prepare(read(tiny_config, tmp_path, **model), QUIET)
        return with_pinned_dtype(prepared, gpus, QUIET).job.model.dtype

    assert pinned(0.0, dtype="float16") == "float16"
    assert pinned(0.5, dtype="auto") == "auto"
    assert pinned(0.0, quantization="int8") == "float32"


def test_an_older_search_goes_on_by_the_processors_flags(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures(monkeypatch, None)
    prepared = prepare(read(tiny_config, tmp_path, dtype="auto", device="cpu"), QUIET)
    search = create_search(prepared, Store.open(tiny_config["store"]))
    assert search.config["model"]["dtype"] == "auto"
    again = with_dtype_before(prepare_again(search, tiny_config["store"], None, QUIET), 0.0)
    assert again.job.model.dtype == dtype_by_flags()
    assert model_of(search).dtype == dtype_by_flags()
