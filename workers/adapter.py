"""A PEFT adapter merged into the model it was trained on: LoRA and its kin.

The merged model is stored once, like any other model that is converted, so that all workers of a
machine map the same weights and the text cache knows it from the model without.
"""

import contextlib
import importlib.util
import io
import json
from pathlib import Path

from autoprompt.search_spaces.distribution import with_extra
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.cache_folder import cache_folder, made_once
from autoprompt.workers.model_config import LOADERS, family_of, read_config
from autoprompt.workers.model_files import ModelSpec, locate
from autoprompt.workers.model_identity import VERSION, model_identity

#: Adapters of these kinds are prompts themselves; there is nothing to merge.
_PROMPTS = {
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "CPT",
    "ADAPTION_PROMPT",
}


def resolve(spec: ModelSpec) -> str:
    """What `from_pretrained` should be given: the Hub id, or a folder with the files.

    Raises:
        ModelError: a local path that is not there or holds no model, or its adapter none.
    """
    base = locate(spec)
    return base if spec.adapter is None else _merged(base, spec)


def _merged(base: str, spec: ModelSpec) -> str:
    """The folder of `base` with the spec's adapter merged into it, made on first use.

    Args:
        base: a Hub id, or the folder of the model without the adapter.

    Raises:
        ModelError: it is no adapter, or not one of this model, or PEFT is not installed.
    """
    adapter = _checked(spec)
    identity = str(model_identity(spec)).removeprefix(VERSION)
    name = f"{Path(base).name}-{adapter.name}-{identity}"

    def merge(folder: Path) -> None:
        # Imported here, like PEFT itself: only those who bring an adapter need any of it.
        import torch
        from peft import PeftModel
        from transformers import AutoTokenizer

        options = {"revision": spec.revision, "trust_remote_code": spec.trust_remote_code}
        family = family_of(read_config(base, spec)) or "causal"
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                model = LOADERS[family].from_pretrained(base, dtype=torch.float32, **options)
                whole = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
                whole.save_pretrained(folder)
                AutoTokenizer.from_pretrained(base, **options).save_pretrained(folder)
        except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise ModelError(
                f"model.adapter {spec.adapter}: cannot be merged into {spec.path}: {reason}"
            ) from error

    return str(made_once(cache_folder() / "models" / name, merge))


def _checked(spec: ModelSpec) -> Path:
    """The adapter's folder.

    Raises:
        ModelError: as `_merged` says.
    """
    adapter = Path(str(spec.adapter)).expanduser()
    where = f"model.adapter {spec.adapter}"
    settings = adapter / "adapter_config.json"
    if not settings.is_file():
        raise ModelError(
            f"{where}: not an adapter folder (no adapter_config.json in it); give the folder that "
            "PEFT's save_pretrained wrote"
        )
    kind = json.loads(settings.read_text(encoding="utf-8")).get("peft_type")
    if kind in _PROMPTS:
        raise ModelError(
            f"{where}: a {kind} adapter is a prompt, which cannot be merged into a model; start "
            "from its vectors with init: prompt instead"
        )
    if importlib.util.find_spec("peft") is None:
        raise ModelError(f"{where}: needs PEFT; install {with_extra('adapters')}")
    return adapter
