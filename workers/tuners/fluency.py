"""How likely a prompt's words are to the frozen model itself, where they stand: a causal model's
own perplexity."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds, padded

if TYPE_CHECKING:
    from autoprompt.workers.tuners.arrangement import Arrangement

#: So many texts are enough for words to be read behind, or before, where candidates are compared.
FEW = 2

#: Rows of one pass: each asks for the whole vocabulary at each of its own tokens.
_ROWS = 8


def surprise(
    prompts: Sequence[tuple[TokenIds, TokenIds]], scorer: Scorer, texts: Sequence[TokenIds]
) -> Tensor:
    """[N], the mean surprise in nats at each token of a prompt and of the template behind it, given
    all before it, over B texts; 0 where there is no token.

    Args:
        prompts: N prompts' tokens before the text and behind it.
    """
    tail = scorer.task.question.tail_ids
    rows, own = [], []
    for front, behind in prompts:
        for text in texts:
            rows.append((*front, *text, *behind, *tail))
            first = len(front) + len(text)
            own.append([*range(1, len(front)), *range(max(first, 1), len(rows[-1]))])
    found = [losses.sum() / max(len(losses), 1) for losses in _surprises(rows, own, scorer)]
    return torch.stack(found).view(len(prompts), -1).mean(1)


def text_surprise(texts: Sequence[TokenIds], scorer: Scorer) -> Tensor:
    """[B], the mean surprise in nats at each token of a text, given those before it."""
    own = [list(range(1, len(text))) for text in texts]
    return torch.stack([losses.mean() for losses in _surprises(texts, own, scorer)])


def likely_tokens(
    ids: TokenIds, arranged: "Arrangement", scorer: Scorer, texts: Sequence[TokenIds]
) -> Tensor | None:
    """[P, V], how likely the model finds every token in the place of each searched one, as mean
    log-probabilities over a few texts; None of a model that predicts no next token.

    Args:
        ids: the searched tokens as they are.
    """
    if scorer.model.family != "causal":
        return None
    front, behind = arranged.sides(ids)
    places = arranged.searched_places(len(ids))
    rows, own = [], []
    for text in texts[:FEW]:
        rows.append((*front, *text, *behind))
        own.append([at if at < len(front) else at + len(text) for at in places])
    return torch.stack(
        [_log_probs(row, at, scorer) for row, at in zip(rows, own, strict=True)]
    ).mean(0)


@torch.no_grad()
def _log_probs(row: TokenIds, at: Sequence[int], scorer: Scorer) -> Tensor:
    """[K, V], what the model expects at K places of a row; the first place is one like any."""
    model = scorer.model
    model.keep_logits_of(None)
    ids, real = padded([row], model.device)
    keep = torch.tensor([max(place - 1, 0) for place in at], device=model.device)
    logits = model.logits(keep, inputs_embeds=model.embed(ids), attention_mask=real.long())
    return torch.log_softmax(logits[0], dim=-1).cpu()


@torch.no_grad()
def _surprises(
    rows: Sequence[TokenIds], own: Sequence[Sequence[int]], scorer: Scorer
) -> list[Tensor]:
    """At the tokens of each row that are asked about, in nats."""
    model = scorer.model
    model.keep_logits_of(None)
    found: list[Tensor] = []
    for start in range(0, len(rows), _ROWS):
        part, asked = rows[start : start + _ROWS], own[start : start + _ROWS]
        ids, real = padded(part, model.device)
        width = max(map(len, asked))
        at = torch.tensor(
            [[*places, *[1] * (width - len(places))] for places in asked],
            dtype=torch.long,
            device=model.device,
        )
        logits = model.logits(at - 1, inputs_embeds=model.embed(ids), attention_mask=real.long())
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), ids.gather(1, at), reduction="none"
        )
        found += [row[: len(places)].cpu() for row, places in zip(losses, asked, strict=True)]
    return found
