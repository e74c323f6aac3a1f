"""Attention of a few query tokens to a cached text, to a prompt's rows, and to themselves.

Each of these is attended to where it lies: only scores stand side by side, keys and values never
do, so nothing of a text is copied for a prompt and nothing of a prompt for a text. The query heads
of a group are laid into one product with their shared keys, which other implementations copy once
per query head first. Prompts in one pass never see each other, so no mask parts them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from autoprompt.workers.past import NOTE, Beside, Grown, LayerPast, LayerStates

_NAME = "autoprompt_grouped"

#: Arguments that change nothing here: the mask already says what a window would.
_HARMLESS = {
    "is_causal",
    "position_ids",
    "sliding_window",
    "output_attentions",
    "output_hidden_states",
    "use_cache",
}


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
    """Scaled dot-product attention.

    Args:
        query: [B, heads, Q, size].
        key, value: [B, groups, T, size], where groups divides heads. Keys that bring a note along
            are those of the query tokens, all in one row, and the note says what else is attended
            to.
        attention_mask: [B, 1, Q, T or more], added to the scores; unread where there is a note.

    Returns:
        [B, Q, heads, size], and None for the weights.

    Raises:
        NotImplementedError: the model asks for something this function does not do.
    """
    unknown = [name for name, given in others.items() if given is not None and given is not False]
    if attention_mask is None or dropout or not _HARMLESS.issuperset(unknown):
        raise NotImplementedError(f"grouped attention without a mask, or with {unknown}")
    size = query.shape[-1]
    scaling = size**-0.5 if scaling is None else scaling
    lots: Sequence[LayerPast] | None = getattr(key, NOTE, None)
    if lots is not None:
        return _merged(query * scaling, key, value, lots), None
    if query.is_cuda:
        attended, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling
        )
        return attended, None
    count, heads, queries, _ = query.shape
    groups, keys = key.shape[1], key.shape[2]
    shared = query.reshape(count, groups, heads // groups * queries, size)
    scores = (shared @ key.transpose(2, 3)).view(count, groups, -1, queries, keys)
    scores = scores * scaling + attention_mask[:, :, None, :, :keys]
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    attended = (weights.view(count, groups, -1, keys) @ value).view(count, heads, queries, -1)
    return attended.transpose(1, 2).contiguous(), None


def _merged(query: Tensor, key: Tensor, value: Tensor, lots: Sequence[LayerPast]) -> Tensor:
    """[1, M, heads, size], lot by lot and segment by segment; `query` [1, heads, M, size] is scaled
    already."""
    sizes = [len(past.keys) * past.queries for past in lots]
    asked = zip(*(part[0].split(sizes, dim=1) for part in (query, key, value)), strict=True)
    attended = []
    for past, parts in zip(lots, asked, strict=True):
        shape = (len(past.keys), past.queries)
        # [heads, B * Q, size] to [B, heads, Q, size]
        queries, keys, values = (part.unflatten(1, shape).transpose(0, 1) for part in parts)
        segments = [
            _attended(queries, keys, values, past, *segment)
            for segment in zip(past.beside, past.rows, past.grown, strict=True)
        ]
        attended.append(torch.cat(segments, dim=1).flatten(0, 1))
    return torch.cat(attended)[None]


def _attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past: LayerPast,
    beside: Beside,
    rows: LayerStates | None,
    grown: Grown | None,
) -> Tensor:
    """[B, n * Q, heads, size] of the n prompts of one segment.

    Scores and weights are laid out as [B, groups, n, heads of a group, Q, what is attended to].
    """
    query, key, value = (part[:, :, beside.segment.tokens] for part in (query, key, value))
    count, heads, _, size = query.shape
    groups = key.shape[1]
    prompts, queries = len(beside.segment.prompts), beside.segment.queries
    ratio = heads // groups
    asked = query.reshape(count, groups, ratio, prompts, queries, size).transpose(2, 3)
    asked = asked.reshape(count, groups, prompts * ratio * queries, size)
    shape = (count, groups, prompts, ratio, queries)
    to_text = (asked @ past.keys.transpose(2, 3)).view(*shape, -1) + beside.text_mask
    by_prompt = asked.view(count, groups, prompts, ratio * queries, size)
    own_keys = key.reshape(count, groups, prompts, queries, size)
    own_values = value.reshape(count, groups, prompts, queries, -1)
    if grown is not None:
        own_keys, own_values = grown.by(own_keys, own_values)
    to_own = (by_prompt @ own_keys.transpose(3, 4)).view(*shape, -1)
    if beside.own_mask is not None:
        to_own = to_own + beside.own_mask
    scores = [to_text, to_own]
    if rows is not None:
        # [n, groups, B * ratio * Q, size]: a prompt's rows are the same beside every text.
        turned = by_prompt.permute(2, 1, 0, 3, 4).reshape(prompts, groups, -1, size)
        to_rows = turned @ rows[0].transpose(2, 3)
        if beside.row_mask is not None:
            to_rows = to_rows + beside.row_mask
        by_text = to_rows.view(prompts, groups, count, ratio, queries, -1)
        scores.append(by_text.permute(2, 1, 0, 3, 4, 5))
    weights = torch.softmax(torch.cat(scores, dim=-1), dim=-1, dtype=torch.float32).to(query.dtype)
    on_text, on_own, *on_rows = weights.split([part.shape[-1] for part in scores], dim=-1)
    attended = on_text.reshape(count, groups, prompts * ratio * queries, -1) @ past.values
    attended = attended.view(*shape, -1)
    own = on_own.reshape(count, groups, prompts, ratio * queries, -1) @ own_values
    attended = attended + own.view(*shape, -1)
    if rows is not None:
        turned = on_rows[0].permute(2, 1, 0, 3, 4, 5).reshape(prompts, groups, -1, rows[1].shape[2])
        of_rows = (turned @ rows[1]).view(prompts, groups, count, ratio, queries, -1)
        attended = attended + of_rows.permute(2, 1, 0, 3, 4, 5)
    # [B, groups, n, ratio, Q, size] to [B, n * Q, heads, size]
    return attended.permute(0, 2, 4, 1, 3, 5).reshape(count, prompts * queries, heads, -1)


AttentionInterface.register(_NAME, grouped_attention)
AttentionMaskInterface.register(_NAME, eager_mask)


def merges(model: PreTrainedModel) -> bool:
    """Whether a model's attention reads the notes of `past.py`."""
    return bool(model.config._attn_implementation == _NAME)


@torch.no_grad()
def use_grouped_attention(model: PreTrainedModel) -> bool:
    """Switch a model to grouped attention, if its answers stay what they were.

    Tried on a few tokens beside the model's own implementation, because a model may do more in
    its attention (soft-capping, sinks, position biases) than reaches the function above.
    """
    own = model.config._attn_implementation
    embeddings = model.get_input_embeddings()
    ids = torch.arange(6, device=embeddings.weight.device)[None] % int(embeddings.num_embeddings)
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
