"""Answers that differ from text to text, on a model: each is read behind its own text's question,
token by token, as it stands (teacher forcing, Williams and Zipser 1989)."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.answers.answers import Answers, Readout, Right
from autoprompt.workers.answers.one_right import OneRight
from autoprompt.workers.asked_text import AskedText, answers_of_text
from autoprompt.workers.question import Question, ids_behind
from autoprompt.workers.rows import Text
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.token_trie import TokenTrie

#: Of the vocabulary, so many tokens by which a cache is tried.
_TRIED = 64

#: Of an option that a text does not have: never chosen, and a number.
_NEVER = -1e4


class ContinuedReadout(Readout):
    """What stands behind each text's own question. A family's logits are asked of it only where
    the cache is tried: then a few tokens of the vocabulary serve."""

    continued: ClassVar[bool] = True
    branches = TokenTrie()
    starts = ()
    spoken = ()

    def __init__(self, question: Question, answers: Answers) -> None:
        self._question, self._answers = question, answers
        self.size = answers.size
        step = max(1, len(question.tokenizer) // _TRIED)
        self.kept = list(range(0, len(question.tokenizer), step))[:_TRIED]

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[..., 0, :]

    @property
    def room(self) -> int:
        """Tokens that an answer may take behind a question."""
        return self._answers.wording.longest_answer

    @abstractmethod
    def asked(
        self, ids: Sequence[TokenIds], texts: Sequence[Text], rights: Sequence[Right] | None
    ) -> list[TokenIds]:
        """B texts' tokens, with what may stand behind them, where that is known."""

    @abstractmethod
    def scored(
        self, texts: Sequence[TokenIds], sums: Sequence[Tensor], alone: Sequence[Tensor] | None
    ) -> Tensor:
        """Scores [N, B, K] of what stands behind B texts.

        Args:
            sums: of each text [N, K], the log-probabilities of its answers, summed over tokens.
            alone: the same behind no text; None where that is not asked for.
        """

    @property
    def unconditional(self) -> bool:
        """Whether scores ask how likely an answer is behind no text."""
        return False

    def _ids(self, answer: str) -> TokenIds:
        """An answer's tokens behind the question.

        Raises:
            DataError: it merges with what stands before it.
        """
        question = self._question
        ids = ids_behind(question.before, question.joint + answer, question.tokenizer)
        if not ids:
            raise DataError(
                f"the answer {answer[:40]!r} merges with the end of the template when tokenized; "
                "end the template with a colon or another word"
            )
        return ids[: self.room]

    def prior(self, log_probs: Tensor) -> tuple[float, ...]:
        """Nothing is taken off: what stands behind one text says nothing of another's."""
        return ()

    def as_dict(self) -> dict[str, Any]:
        return {"longest_answer": self.room}


class OptionsReadout(OneRight, ContinuedReadout):
    """A row's options, each by its log-likelihood."""

    def __init__(
        self,
        question: Question,
        answers: Answers,
        options_of: Callable[[Text], tuple[str, ...]],
    ) -> None:
        super().__init__(question, answers)
        self._options_of = options_of
        self._scoring = answers.wording.label_scoring

    @property
    def unconditional(self) -> bool:
        return self._scoring == "unconditional"

    def asked(
        self, ids: Sequence[TokenIds], texts: Sequence[Text], rights: Sequence[Right] | None
    ) -> list[TokenIds]:
        return [
            AskedText(own, [self._ids(option) for option in self._options_of(text)])
            for own, text in zip(ids, texts, strict=True)
        ]

    def scored(
        self, texts: Sequence[TokenIds], sums: Sequence[Tensor], alone: Sequence[Tensor] | None
    ) -> Tensor:
        rows = []
        for place, (text, own) in enumerate(zip(texts, sums, strict=True)):
            if alone is not None:
                own = own - alone[place]
            elif self._scoring != "sum":
                own = own / own.new_tensor([len(ids) for ids in answers_of_text(text)])
            missing = own.new_full((len(own), self.size - own.shape[1]), _NEVER)
            rows.append(torch.cat([own, missing], dim=1))
        return torch.stack(rows, dim=1)

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return torch.log_softmax(scores, dim=-1).clamp(min=_NEVER)

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {
            "before": self._question.before,
            "joint": self._question.joint,
            "options": self._answers.wording.options,
            "most_options": self.size,
            "scoring": self._scoring,
        }


class TextReadout(ContinuedReadout):
    """The right answer, token by token; what is said of a text is its loss and what is written."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Where what is written ends."""
        return self._answers.wording.stop

    def targets(self, rights: Sequence[Right]) -> Tensor:
        """[B], of no use: texts bring their right answers along."""
        return torch.zeros(len(rights), dtype=torch.long)

    def asked(
        self, ids: Sequence[TokenIds], texts: Sequence[Text], rights: Sequence[Right] | None
    ) -> list[TokenIds]:
        if rights is None:
            return list(ids)
        ends = self._question.tokenizer.eos_token_id
        # What ends an answer is learnt, too: a stop string, or the model's own end.
        end = self.stop[0] if self.stop else ""
        found: list[TokenIds] = []
        for own, text, right in zip(ids, texts, rights, strict=True):
            answer = self._ids(self._answers.spoken(right, text) + end)
            found.append(AskedText(own, [answer if end or ends is None else (*answer, ends)]))
        return found

    def scored(
        self, texts: Sequence[TokenIds], sums: Sequence[Tensor], alone: Sequence[Tensor] | None
    ) -> Tensor:
        """[N, B, 1], the mean log-probability of the right answer's tokens."""
        rows = [
            own / max(1, len(answers_of_text(text)[0]))
            for text, own in zip(texts, sums, strict=True)
        ]
        return torch.stack(rows, dim=1)

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return scores

    def losses(self, scores: Tensor, expected: Tensor) -> Tensor:
        return -scores[..., 0]

    def surprise(self, log_probs: Tensor, expected: Tensor) -> Tensor:
        """[..., B], as it was said."""
        return log_probs[..., 0]

    def loss(self, log_probs: Tensor, expected: Tensor) -> float:
        return float(log_probs[..., 0].mean())

    def as_dict(self) -> dict[str, Any]:
        words = self._answers.wording.label_words
        return super().as_dict() | {
            "stop": self.stop,
            "characters": self.size - 1,
            "label_words": {label: own[0].strip() for label, own in words.items()},
        }
