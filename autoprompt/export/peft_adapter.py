"""A prompt as an adapter of PEFT's: prompt tuning (Lester et al. 2021) for vectors, prefix tuning
(Li and Liang 2021) for keys and values, both before the whole input."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from autoprompt.config import SearchConfig
from autoprompt.export.portable import refused
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.shown_paths import shown_path
from autoprompt.store import PromptRecord
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.model_config import Family
from autoprompt.workers.prompt import Prompt

_PLACES = {
    "suffix": "after the text",
    "both": "before and after the text",
    "end": "behind the whole template",
    "decoder": "behind the decoder's start",
}
_ROW_PLACES = {
    "suffix": "between text and template",
    "end": "before the template's last token",
    "decoder": "before the decoder's start",
}

#: Kinds of prompts and their positions that an adapter of PEFT's can say.
_PEFT_HOLDS = {("soft", "prefix"), ("kv", "prefix")}


def check_peft(
    result: StoredSearch, records: Sequence[PromptRecord], prompts: Sequence[Prompt]
) -> None:
    """Refuse what PEFT's prompt tuning and prefix tuning, vectors or keys and values before the
    whole input, cannot say.

    Raises:
        BadInputError: several prompts, a hard one, or one behind the text.
    """
    if len(records) > 1:
        raise BadInputError(
            f"--format peft holds one prompt, the ensemble is {len(records)}; use --format json, "
            "or --trial N for a member"
        )
    [record], [prompt] = records, prompts
    if (prompt.kind, prompt.position) in _PEFT_HOLDS:
        return
    if prompt.kind == "kv":
        place = _ROW_PLACES[prompt.position]
        problem = f"trial {record.number} is laid {place}, PEFT's prefix tuning lays it before"
        if prompt.position == "decoder":
            problem = f"trial {record.number} is a decoder's, whose layers PEFT gives rows in pairs"
    elif prompt.kind == "hard":
        problem = f"trial {record.number} is a hard prompt, words that need no adapter"
    elif prompt.kind == "mixed":
        problem = f"trial {record.number} holds words among its vectors, PEFT holds vectors alone"
    else:
        problem = f"trial {record.number} is laid {_PLACES[prompt.position]}, PEFT lays it before"
    raise refused(
        "peft",
        problem,
        result,
        lambda trial: (trial.kind, trial.plan["position"]) in _PEFT_HOLDS,
        "PEFT",
    )


def save_adapter(folder: Path, config: SearchConfig, family: Family, trained: Tensor) -> None:
    """PEFT's two files. Written without PEFT, which need not be installed; the rest of its
    configuration is what PEFT takes when it is not given.

    Args:
        trained: vectors [P, H], or rows [P, layers, 2, groups, size].
    """
    kind: dict[str, Any] = {"peft_type": "PROMPT_TUNING", "token_dim": trained.shape[-1]}
    if trained.ndim > 2:
        layers, _, groups, size = trained.shape[1:]
        kind = {
            "peft_type": "PREFIX_TUNING",
            "token_dim": groups * size,
            "num_attention_heads": groups,
            "num_layers": layers,
            "prefix_projection": False,
        }
    adapter = {
        **kind,
        "task_type": "SEQ_2_SEQ_LM" if family == "seq2seq" else "CAUSAL_LM",
        "base_model_name_or_path": _base_name(config),
        "revision": config.model.revision,
        "inference_mode": True,
        "num_virtual_tokens": trained.shape[0],
        "num_transformer_submodules": 1,
    }
    written = json.dumps(adapter, indent=2) + "\n"
    (folder / "adapter_config.json").write_text(written, encoding="utf-8")
    tensors = {"prompt_embeddings": trained.flatten(1).contiguous()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _base_name(config: SearchConfig) -> str:
    """The base model as PEFT is told of it; one that had an adapter is not to be found without."""
    name = shown_path(config.model.path)
    adapter = config.model.adapter
    return name if adapter is None else f"{name} with the adapter {shown_path(adapter)}"
