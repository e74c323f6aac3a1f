"""Label words: a label is as probable as the words that stand for it (PET, Schick and Schütze 2021;
LM-BFF, Gao et al. 2021)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers.answers import Answers, Readout
from autoprompt.workers.question import SOME_TEXT, ids_behind
from autoprompt.workers.vote import Ballot, Floats, cast_votes, mean_probabilities, predictions
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question


class LabelWords(Answers):
    """One of L labels; a vote is a head count, a tie goes to the larger summed log-probability."""

    def __init__(self, wording: Wording) -> None:
        super().__init__(wording)
        self.names = tuple(wording.label_words)

    def seated(self, question: "Question", family: "Family") -> Readout:
        """The label words' tokens behind what stands before them.

        Raises:
            ConfigError: words of two labels cannot be told apart, or a word cannot be told from
                what stands before it.
        """
        # Imported here, with torch, which those who read stored predictions do without.
        from autoprompt.workers.answers.word_readout import Word, WordReadout

        spec, before = self.wording, question.before
        first_only = spec.label_scoring == "first_token"
        seen: dict[tuple[int, ...], tuple[str, str]] = {}
        words = []
        for label, (name, given) in enumerate(spec.label_words.items()):
            for text in given:
                ids = ids_behind(before, question.joint + text.strip(), question.tokenizer)
                if not ids:
                    raise ConfigError(
                        f"task.label_words.{name}: {text!r} merges with the end of the template "
                        f"{before.removeprefix(SOME_TEXT)!r} when tokenized; end the template "
                        "with a colon or another word"
                    )
                if family == "masked" and len(ids) > 1:
                    raise ConfigError(
                        f"task.label_words.{name}: {text!r} is {len(ids)} tokens to this model, "
                        "which fills a mask with one; choose words of one token"
                    )
                own = ids[:1] if first_only else ids
                if own not in seen:
                    seen[own] = (name, text)
                    words.append(Word(label, own))
                other, theirs = seen[own]
                if other != name:
                    way_out = ", or set task.label_scoring to mean" if first_only else ""
                    token = question.tokenizer.decode([own[0]])
                    raise ConfigError(
                        f"task.label_words: {theirs!r} ({other}) and {text!r} ({name}) begin with "
                        f"the same token {token!r}; choose other words{way_out}"
                    )
        return WordReadout(self.names, words, spec.label_scoring == "mean")

    def decided(self, log_probs: Floats) -> NDArray[np.intp]:
        """The most probable label."""
        return predictions(log_probs)

    def voted(self, log_probs: Floats, weights: Sequence[float] | None = None) -> Ballot:
        return cast_votes(log_probs, weights)

    def mixed(self, log_probs: Floats, weights: Sequence[float] | None = None) -> Floats:
        """The weighted mean of their probabilities."""
        return mean_probabilities(log_probs, weights)

    def packed(self, log_probs: Floats) -> bytes:
        return bytes(save({"log_probs": np.ascontiguousarray(log_probs)}))

    def unpacked(self, content: bytes) -> Floats:
        log_probs: Floats = load(content)["log_probs"]
        return log_probs
