"""Attention for short queries over long keys on a CPU.

A prompt's few tokens attend to a cached text. With grouped queries, transformers' own paths copy
every key and value once per query head first, and their bfloat16 backward pass on a CPU takes half
of a training step. Here the query heads of a group are laid into one product with their shared
keys instead: no copy, and plain matrix products in both directions.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

_NAME = "autoprompt_grouped"

#: Arguments that change nothing here: the mask already says what a window would.
_HARMLESS = {"is_causal", "position_ids", "sliding_window", "output_attentions", "use_cache"}


def grouped_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with an additive mask.

    Args:
        query: [B, heads, Q, size].
        key, value: [B, groups, T, size], where groups divides heads.
        attention_mask: [B, 1, Q, T or more], added to the scores.

    Returns:
        [B, Q, heads, size], and None for the weights.

    Raises:
        NotImplementedError: the model asks for something this function does not do.
    """
    unknown = [name for name, given in others.items() if given is not None and given is not False]
    if attention_mask is None or dropout or not _HARMLESS.issuperset(unknown):
        raise NotImplementedError(f"grouped attention without a mask, or with {unknown}")
    count, heads, queries, size = query.shape
    groups, keys = key.shape[1], key.shape[2]
    shared = query.reshape(count, groups, heads // groups * queries, size)
    scores = (shared @ key.transpose(2, 3)).view(count, groups, -1, queries, keys)
    scores = scores * (size**-0.5 if scaling is None else scaling)
    scores = scores + attention_mask[:, :, None, :, :keys]
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    attended = (weights.view(count, groups, -1, keys) @ value).view(count, heads, queries, -1)
    return attended.transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, grouped_attention)
AttentionMaskInterface.register(_NAME, eager_mask)


@torch.no_grad()
def use_grouped_attention(model: PreTrainedModel) -> bool:
    """Switch a model on a CPU to grouped attention, if its answers stay what they were.

    Tried on a few tokens beside the model's own implementation, because a model may do more in
    its attention (soft-capping, sinks, position biases) than reaches the function above.
    """
    own = model.config._attn_implementation
    ids = torch.arange(6)[None] % int(model.get_input_embeddings().num_embeddings)
    expected = model(input_ids=ids).logits.float()
    try:
        model.set_attn_implementation(_NAME)
        logits = model(input_ids=ids).logits.float()
        apart = (torch.softmax(logits, -1) - torch.softmax(expected, -1)).abs().max()
    except (NotImplementedError, ValueError, RuntimeError, TypeError):
        apart = torch.tensor(1.0)
    agrees = bool(apart < (1e-3 if model.dtype == torch.float32 else 5e-2))
    if not agrees:
        model.set_attn_implementation(own)
    return agrees
