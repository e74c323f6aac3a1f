"""Loading: what is a model, what is not, and that nothing ever changes it."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.adapter import resolve
from autoprompt.workers.attention import use_grouped_attention
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec, conversion_is_due, in_dtype
from autoprompt.workers.model_loading import load_model, read_tokenizer
from tests.conftest import DEMO_MODEL
from tests.tiny import save_tiny_model


def parameters_digest(model: FrozenModel) -> str:
    digest = hashlib.sha256()
    for name, parameter in sorted(model.model.named_parameters()):
        digest.update(name.encode() + parameter.detach().float().numpy().tobytes())
    return digest.hexdigest()


def test_no_parameter_learns(tiny_model: FrozenModel) -> None:
    assert not any(parameter.requires_grad for parameter in tiny_model.model.parameters())
    assert not tiny_model.model.training


def test_grouped_attention_answers_as_the_models_own_does(tiny_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    own = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    ours = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
    assert use_grouped_attention(ours)
    ids = torch.randint(1, 300, (3, 17), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    expected = own(input_ids=ids, attention_mask=mask).logits
    found = ours(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=1e-4)


def test_a_model_whose_attention_does_more_keeps_its_own() -> None:
    """Gemma 2 caps its attention scores, which the grouped product does not."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        attn_logit_softcapping=0.5,
    )
    torch.manual_seed(0)
    model = Gemma2ForCausalLM(config).eval()
    before = model.config._attn_implementation
    assert not use_grouped_attention(model)
    assert model.config._attn_implementation == before


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a model folder \(no config.json"):
        read_tokenizer(ModelSpec(path=str(tmp_path)))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file or folder"):
        read_tokenizer(ModelSpec(path=str(tmp_path / "none")))


def test_a_folder_without_weights(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "config.json", tmp_path)
    with pytest.raises(ModelError, match="no weights"):
        read_tokenizer(ModelSpec(path=str(tmp_path)))


def test_a_model_that_is_not_causal(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=16)
    ViTModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=str(tmp_path)):
        read_tokenizer(ModelSpec(path=str(tmp_path)))


def test_a_gguf_that_is_none_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=r"fake\.gguf: not a GGUF file"):
        resolve(ModelSpec(path=str(fake)))
    models = tmp_path / "cache" / "models"
    locks = {".lock", ".use"}
    assert [path.name for path in models.iterdir() if path.suffix not in locks] == []


def test_the_demos_gguf_is_unpacked_once(real_model: FrozenModel) -> None:
    spec = ModelSpec(path=str(DEMO_MODEL))
    assert not conversion_is_due(spec)
    folder = Path(resolve(spec))
    assert (folder / "model.safetensors").is_file()
    assert resolve(spec) == str(folder)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown dtype 'int3'"):
        ModelSpec(path="x", dtype="int3")


def test_weights_are_stored_once_in_the_dtype_they_are_computed_with(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    assert in_dtype(str(tiny_folder), torch.float32, "v2:a") == str(tiny_folder)
    folder = Path(in_dtype(str(tiny_folder), torch.bfloat16, "v2:a"))
    assert folder.parent.parent == tmp_path
    before = load_file(tiny_folder / "model.safetensors")
    after = load_file(folder / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name].to(torch.bfloat16))
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert in_dtype(str(tiny_folder), torch.bfloat16, "v2:a") == str(folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    model = load_model(ModelSpec(path=str(tiny_folder), dtype="bfloat16"))
    assert model.dtype == torch.bfloat16


def test_two_models_or_dtypes_never_share_cached_texts(tiny_folder: Path, tmp_path: Path) -> None:
    def cache_key(folder: Path, dtype: str) -> str:
        key = load_model(ModelSpec(path=str(folder), dtype=dtype)).cache_key
        assert key is not None
        assert f"transformers {transformers.__version__}" in key
        return key

    other = save_tiny_model(tmp_path / "other", initializer_range=0.1)
    keys = {
        cache_key(tiny_folder, "float32"),
        cache_key(tiny_folder, "bfloat16"),
        cache_key(other, "float32"),
    }
    assert len(keys) == 3
