"""A model whose vocabulary has a prompt's tokens: a folder that any server of transformers' models
reads, and a GGUF file where the model came as one.

The new tokens get an output row too, since there is one for every token. It is the mean of all
others, so that a new token's logit is the mean of the logits: never above the largest, and never
likelier than one in so many tokens, whatever the model has read. Where input and output rows were
the same matrix, they no longer are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from autoprompt.config import SearchConfig
from autoprompt.export.new_tokens import NewTokens, ServerPrompt, new_tokens
from autoprompt.export.token_gguf import save_token_gguf
from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.adapter import resolve
from autoprompt.workers.model_config import LOADERS
from autoprompt.workers.model_loading import read_tokenizer
from autoprompt.workers.prompt import Prompt

#: How far logits may lie apart, as a part of the largest: of the model as it is stored.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}


def save_tokens(
    folder: Path,
    config: SearchConfig,
    prompts: Sequence[Prompt],
    tasks: Sequence[Mapping[str, Any]],
) -> list[ServerPrompt]:
    """Write the search's model with tokens for these prompts, and a GGUF file beside it where the
    model came as one without an adapter.

    Returns:
        What servers are to be sent for each prompt.

    Raises:
        ModelError: the model's tokenizer, or the model itself, would read something else.
    """
    spec = config.model
    tokens = new_tokens(lambda: read_tokenizer(spec)[0], prompts, tasks)
    model = stored_model(config)
    scale = _scale(model.get_input_embeddings())
    rows = [row if isinstance(row, int) else row / scale for row in tokens.rows]
    save_token_model(folder, model, tokens, tasks[0]["tail_ids"])
    if spec.is_gguf and spec.adapter is None:
        source = Path(spec.path).expanduser()
        save_token_gguf(source, folder / "model.gguf", tokens.names, rows, tokens.bare)
    return tokens.prompts


def stored_model(config: SearchConfig) -> Any:
    """The search's model with weights as its files have them, on the CPU."""
    spec = config.model
    transformers_logging.disable_progress_bar()
    options = {"revision": spec.revision, "trust_remote_code": spec.trust_remote_code}
    return LOADERS["causal"].from_pretrained(resolve(spec), dtype="auto", **options).eval()


@torch.no_grad()
def save_token_model(folder: Path, model: Any, tokens: NewTokens, asked: Sequence[int]) -> None:
    """Write the model and its tokenizer, with new rows for new tokens.

    Args:
        asked: token ids that the new tokens are tried behind.

    Raises:
        ModelError: the model reads a token otherwise than its row.
    """
    embedding = model.get_input_embeddings()
    rows = token_rows(embedding, tokens.rows)
    beside = embedding(torch.tensor(asked, dtype=torch.long))
    before = _logits(model, inputs_embeds=torch.cat([beside, rows])[None])
    _grow(model, tokens, rows / _scale(embedding))
    after = _logits(model, input_ids=torch.tensor([[*asked, *tokens.ids]]))
    known = [token for token in range(len(before)) if token not in set(tokens.ids)]
    apart = (after[known] - before[known]).abs().max() / before[known].abs().max()
    if apart > _TOLERANCE.get(model.dtype, 5e-2):
        raise ModelError(
            "--format tokens: this model reads a token by more than its row, and a prompt has "
            "nothing else; use --format json"
        )
    model.save_pretrained(folder)
    tokens.tokenizer.save_pretrained(folder)


def token_rows(embedding: Any, rows: Sequence[Tensor | int]) -> Tensor:
    """What new tokens are read as, [new tokens, H]."""
    kind = embedding.weight.dtype
    each = [embedding(torch.tensor(row)) if isinstance(row, int) else row.to(kind) for row in rows]
    return torch.stack(each)


def _scale(embedding: Any) -> float:
    """What some models multiply a row by when they look it up."""
    place = int(embedding.weight.abs().sum(1).argmax())
    row = embedding.weight[place].detach()
    column = int(row.abs().argmax())
    return float(embedding(torch.tensor(place)).detach()[column] / row[column])


def _logits(model: Any, **inputs: Tensor) -> Tensor:
    logits: Tensor = model(**inputs).logits[0, -1].float()
    return logits


def _grow(model: Any, tokens: NewTokens, rows: Tensor) -> None:
    """Give the model new tokens' rows, [new tokens, H] before they are looked up."""
    ids = torch.tensor(tokens.ids)
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()
    read, asked = embedding.weight, output.weight
    size = max(len(tokens.tokenizer), len(read))
    embedding.weight = nn.Parameter(_longer(read, size).index_copy(0, ids, rows))
    embedding.num_embeddings = size
    # Some models have rows that no token had, whose places new tokens take; others have none for
    # some tokens, and get them here.
    new = torch.tensor(sorted({*tokens.ids, *range(len(asked), size)}))
    others = torch.tensor([token for token in range(len(asked)) if token not in set(tokens.ids)])
    for name in ("weight", "bias"):
        own = getattr(output, name, None)
        if own is not None:
            mean = own[others].mean(0, dtype=torch.float32).to(own)
            grown = _longer(own, size).index_copy(0, new, mean.expand(len(new), *mean.shape))
            setattr(output, name, nn.Parameter(grown))
    output.out_features = size
    model.all_tied_weights_keys = {}
    for config in (model.config, model.config.get_text_config(decoder=True)):
        config.tie_word_embeddings = False
        config.vocab_size = size
    # What transformers itself writes never holds one.
    model.generation_config.suppress_tokens = tokens.ids


def _longer(rows: Tensor, size: int) -> Tensor:
    """A copy with room for more rows."""
    return torch.cat([rows, rows.new_zeros(size - len(rows), *rows.shape[1:])])
