"""What the frozen model makes of texts in the template, one state a text: for telling which of them
are alike to it."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autoprompt.workers.batches import TokenBudget, windows
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.vote import Floats

#: Tokens of one pass.
_TOKENS = 2048


@torch.no_grad()
def hidden_states(
    scorer: Scorer,
    texts: Sequence[Text],
    advance: Callable[[int], None] = lambda done: None,
) -> Floats:
    """[B, H], the last layer's state where the template alone asks for an answer: at its end, or at
    the mask; of an encoder whose decoder answers, the mean over the text.

    Args:
        advance: called with the number of texts done since the last call.
    """
    states = np.empty((len(texts), scorer.model.hidden_size), dtype=np.float32)
    question, budget = scorer.task.question, TokenBudget(_TOKENS)
    for window in windows(texts):
        read = scorer.tokenize([texts[place] for place in window])
        inputs = [torch.tensor([*ids, *question.tail_ids, *question.end_ids]) for ids in read]
        lengths = [len(ids) for ids in inputs]

        def asked(batch: list[int], inputs: list[Tensor] = inputs) -> Tensor:
            return _states(scorer, [inputs[index] for index in batch])

        for batch, found in budget.run(lengths, lengths, asked):
            states[[window[index] for index in batch]] = found.numpy()
        advance(len(window))
    return states


def _states(scorer: Scorer, inputs: Sequence[Tensor]) -> Tensor:
    """[B, H] float32 on the CPU, of B inputs' tokens."""
    model, lengths = scorer.model, torch.tensor([len(ids) for ids in inputs])
    ids = pad_sequence(list(inputs), batch_first=True).to(model.device)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(model.device)
    if model.family == "seq2seq":
        output = model.encoder_output(model.embed(ids), mask)
        mean = (output * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return mean.float().cpu()
    body = model.model.base_model
    output = body(inputs_embeds=model.embed(ids), attention_mask=mask).last_hidden_state
    at = scorer.task.question.mask
    places = lengths - 1 if at is None else lengths + at if at < 0 else torch.full_like(lengths, at)
    states: Tensor = output[torch.arange(len(inputs)), places.to(output.device)]
    return states.float().cpu()
