"""How a model can be held: adapters merged, weights in few bits, spread over devices."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from transformers import AutoModelForCausalLM

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.adapter import resolve
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS, save_tiny_model

TOKENS = torch.arange(5, 15)[None]


def scorer_of(spec: ModelSpec) -> Scorer:
    model = load_model(spec)
    return Scorer(model, build_task(DEMO_TASK, model.tokenizer), longest_prompt=4)


@pytest.fixture(scope="module")
def lora(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "adapter"
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=4, init_lora_weights=False)
    torch.manual_seed(3)
    get_peft_model(base, config).save_pretrained(folder)
    return folder


def test_an_adapter_changes_what_the_model_says_as_in_peft(
    lora: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import PeftModel

    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    bare = ModelSpec(path=str(tiny_folder), dtype="float32")
    spec = bare.model_copy(update={"adapter": str(lora)})
    ours = load_model(spec)
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(base, lora).eval()
    with torch.no_grad():
        expected = theirs(input_ids=TOKENS).logits
        found = ours.model(input_ids=TOKENS).logits
        without = load_model(bare).model(input_ids=TOKENS).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (found - without).abs().max() > 0.1
    assert ours.cache_key != load_model(bare).cache_key
    assert resolve(spec) == resolve(spec), "merged once, then found"


def test_what_is_no_adapter(lora: Path, tiny_folder: Path, tmp_path: Path) -> None:
    def refusal(folder: Path) -> str:
        with pytest.raises(ModelError) as caught:
            resolve(ModelSpec(path=str(tiny_folder), adapter=str(folder)))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no adapter_config.json" in refusal(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    prompt = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
    get_peft_model(base, prompt).save_pretrained(tmp_path / "prompt")
    assert "init: prompt" in refusal(tmp_path / "prompt")
    other = Path(shutil.copytree(lora, tmp_path / "other"))
    settings = json.loads((other / "adapter_config.json").read_text(encoding="utf-8"))
    settings["target_modules"] = ["no_such_layer"]
    (other / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert "cannot be merged" in refusal(other)


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_weights_in_few_bits_still_reuse_texts_and_train(bits: str, tmp_path: Path) -> None:
    # 4 bits are kept in blocks of 64 numbers.
    folder = save_tiny_model(tmp_path / "model", hidden_size=64, intermediate_size=128)
    whole = scorer_of(ModelSpec(path=str(folder), dtype="float32"))
    spec = ModelSpec.model_validate({"path": str(folder), "dtype": "float32", "quantization": bits})
    scorer = scorer_of(spec)
    assert scorer.model.cache_key != whole.model.cache_key
    kinds = {type(module).__module__.split(".")[0] for module in scorer.model.model.modules()}
    assert "bitsandbytes" in kinds
    texts = scorer.tokenize([row["text"] for row in TEXTS[:12]])
    prompt = Prompt("", vectors=torch.linspace(-1, 1, 2 * 64).reshape(2, 64))
    cached = scorer.log_probs([prompt], texts)
    assert scorer.cache.encoded == 12
    scorer.family._trusts_cache = False
    torch.testing.assert_close(cached, scorer.log_probs([prompt], texts), atol=0.05, rtol=0)
    assert (cached - whole.log_probs([prompt], texts)).abs().mean() < 0.5
    vectors = torch.zeros(2, 64, requires_grad=True)
    scorer.label_logits([prompt.embedded(scorer.model, vectors)], texts)[..., 0].sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.abs().max() > 0


def test_a_device_map_places_the_model(tiny_folder: Path) -> None:
    spec = ModelSpec.model_validate(
        {"path": str(tiny_folder), "dtype": "float32", "device_map": "auto"}
    )
    spread, whole = scorer_of(spec), scorer_of(spec.model_copy(update={"device_map": None}))
    texts = spread.tokenize([row["text"] for row in TEXTS[:5]])
    prompts = [Prompt("", (5, 6)), Prompt("", (7,), position="prefix")]
    torch.testing.assert_close(
        spread.log_probs(prompts, texts), whole.log_probs(prompts, texts), atol=1e-4, rtol=0
    )
