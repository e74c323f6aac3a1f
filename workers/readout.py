"""From the logits of tokens to scores of labels: the verbalizer (PET, LM-BFF) at work."""

import torch
from torch import Tensor

from autoprompt.workers.task import Task


class Readout:
    """From the logits of tokens to scores of labels.

    Attributes:
        kept: the tokens whose logits are asked of the model; None for all of the vocabulary, which
            words of several tokens need, as their tokens are judged at different places.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        single = not task.branches
        self.kept = [word.ids[0] for word in task.words] if single else None

    def __call__(self, logits: Tensor) -> Tensor:
        """Scores whose softmax is the labels' probabilities.

        Args:
            logits: [..., 1 + branch tokens, kept tokens], at the template's end first.

        Returns:
            [..., L].
        """
        words = logits[..., 0, :] if self.kept is not None else self._spelled(logits)
        scores = []
        for label in range(len(self._task.labels)):
            own = [index for index, word in enumerate(self._task.words) if word.label == label]
            # A label is as probable as all of its words together.
            scores.append(torch.logsumexp(words[..., own], dim=-1))
        return torch.stack(scores, dim=-1)

    def _spelled(self, logits: Tensor) -> Tensor:
        """[..., words]: each word's log-probability, token by token."""
        log_probs = torch.log_softmax(logits, dim=-1)
        place = 1
        words = []
        for word in self._task.words:
            parts = [log_probs[..., 0, word.ids[0]]]
            for token in word.ids[1:]:
                parts.append(log_probs[..., place, token])
                place += 1
            total = torch.stack(parts).sum(0)
            words.append(total / len(parts) if self._task.mean else total)
        return torch.stack(words, dim=-1)
