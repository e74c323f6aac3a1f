"""The floating-point operations that a step or a judgement must do, counted on the model at hand.

A product and its sum are two operations. Counted for every query token that a prompt asks beside a
text (a KV prompt at the end one, a soft prompt its vectors, and the template's tail where that
stands behind them; then what label words of several tokens have read):

- the matrices of the layers, each module's own, forward; and once more for the gradient by its
  input, where what is trained lies before it. A frozen matrix has no gradient of its own. The
  embedding table is looked up in, not multiplied by.
- attention: scores and sums over the keys and values of the text, of the prompt's rows, and of the
  prompt's tokens up to this one; backward, a product more for each of the two that asks for one.
- the output layer's rows of the label words, for the tokens that are read.

Not counted: what is no product (norms, activations, softmax, the optimizer), and what only an
implementation adds (padding, keys behind a mask).
"""

from collections.abc import Sequence
from typing import Any

import torch

from autoprompt.workers.prompt import Laid
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import KeysAndValues, TokenIds


def matrices(model: Any) -> dict[torch.nn.Module, tuple[int, int]]:
    """The modules of a transformers model that multiply by a matrix in its layers, and the
    matrices' widths."""
    found: dict[torch.nn.Module, tuple[int, int]] = {}
    for module in model.base_model.modules():
        weight = getattr(module, "weight", None)
        if weight is None or isinstance(module, torch.nn.Embedding):
            continue
        if isinstance(module, torch.nn.Linear):  # whatever few bits its weights are packed into
            found[module] = (module.out_features, module.in_features)
        elif weight.ndim == 2:
            rows, columns = weight.shape
            found[module] = (rows, columns)
    return found


class Operations:
    """Counts for one causal model and one task."""

    def __init__(self, scorer: Scorer) -> None:
        states = scorer.cache.states
        assert isinstance(states, KeysAndValues)
        assert states.row_shape is not None
        self._scorer = scorer
        widths = matrices(scorer.model.model)
        self._sizes = {module: rows * columns for module, (rows, columns) in widths.items()}
        config = scorer.model.model.config.get_text_config(decoder=True)
        self._layers, *_, size = states.row_shape
        #: Of one query token and one key, for all heads of a layer: a score, or its part of a sum.
        self._pair = 2 * int(config.num_attention_heads) * size
        readout = scorer.task.readout
        self._depths = readout.branches.depths
        answers = len(scorer.model.embeddings if readout.kept is None else readout.kept)
        self._output = 2 * (1 + len(self._depths)) * answers * scorer.model.hidden_size
        #: The numbers of all matrices that a gradient passes, for embeddings and for rows.
        self._passed: dict[bool, int] = {}

    def judging(self, laid: Laid, texts: Sequence[TokenIds]) -> int:
        """Forward over cached texts, for one prompt."""
        asked = self._scorer.family.queries(laid, texts)
        per_text = 2 * sum(self._sizes.values()) * asked + self._output
        pairs = sum(sum(self._pairs(laid, text)) for text in texts)
        return len(texts) * per_text + 2 * self._pair * self._layers * pairs

    def training(self, laid: Laid, texts: Sequence[TokenIds]) -> int:
        """Forward and backward over cached texts, for one prompt."""
        asked = self._scorer.family.queries(laid, texts)
        per_text = 2 * self._gradient_passes(laid, texts[:1]) * asked + self._output
        pairs = [self._pairs(laid, text) for text in texts]
        kept, rows, own = map(sum, zip(*pairs, strict=True))
        # By weights and queries; of what is trained by keys and values, too.
        products = self._layers * (2 * kept + 4 * rows + 4 * own)
        if not laid.tokens:
            # Nothing before the first layer's rows is trained: no gradient by its queries.
            products -= kept + rows + 3 * own
        return self.judging(laid, texts) + len(texts) * per_text + self._pair * products

    def _pairs(self, laid: Laid, text: TokenIds) -> tuple[int, int, int]:
        """Query tokens times the keys they must see: of the text, of rows, and of themselves."""
        asked = self._scorer.family.queries(laid, [text])
        behind = len(self._scorer.task.question.tail_ids) if laid.at_end else 0
        kept = len(text) + behind - (1 if len(laid.end_rows) else 0)
        before = asked - len(self._depths)
        own = before * (before + 1) // 2 + sum(before + depth + 1 for depth in self._depths)
        return asked * kept, asked * len(laid.rows), own

    def _gradient_passes(self, laid: Laid, texts: Sequence[TokenIds]) -> int:
        """The numbers of the matrices whose inputs hang on what is trained, seen in a pass."""
        embeds = laid.tokens > 0
        if embeds not in self._passed:
            seen: list[int] = []

            def note(module: torch.nn.Module, inputs: tuple[Any, ...], _: Any) -> None:
                if inputs[0].requires_grad:
                    seen.append(self._sizes[module])

            hooks = [module.register_forward_hook(note) for module in self._sizes]
            held = (self._scorer.model.device, self._scorer.model.dtype)
            trained = Laid(*(part.detach().to(*held).requires_grad_() for part in laid))
            self._scorer.label_logits([trained], texts)
            for hook in hooks:
                hook.remove()
            self._passed[embeds] = sum(seen)
        return self._passed[embeds]
