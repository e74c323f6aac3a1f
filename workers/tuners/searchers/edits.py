"""Edits of an instruction, phrase by phrase: delete, swap, add, replace (GrIPS, Prasad et al.
2023).

What comes out stays readable: phrases are taken whole, from the instruction itself or from a bank
of them. GrIPS takes phrases from a parser and paraphrases them with a model; here they end at
punctuation or after three words, and another phrase of the bank takes the place of a paraphrase.
"""

import re

from torch import Tensor

from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.searchers.phrases import PHRASES
from autoprompt.workers.tuners.searchers.searcher import OnePhrase, Place

#: Words of a phrase, at most.
_WORDS = 3

#: Edits at once in the first rounds; one from the middle on.
_EARLY_EDITS = 2


class Edits(OnePhrase):
    """An instruction of whole phrases."""

    # Few phrases help, and one that was dropped may not come again.
    chance = 0.1

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        bank = place.plan.phrases or PHRASES
        self._bank = [phrase.strip() for phrase in bank if phrase.strip()]

    def propose(self, best: TokenIds, gradient: Tensor | None, part: float) -> list[TokenIds]:
        found = []
        for _ in range(3 * self.place.plan.candidates):
            phrases = phrases_of(self.written[best])
            for _ in range(1 + (self.place.drawn(_EARLY_EDITS) if part < 0.5 else 0)):
                phrases = self._edited(phrases)
            found.append(joined(phrases))
        return self.others(found, best)

    def _edited(self, phrases: list[str]) -> list[str]:
        drawn = self.place.drawn
        edits = ["add", "replace", *(["delete", "swap"] if len(phrases) > 1 else [])]
        edit, place = edits[drawn(len(edits))], drawn(max(len(phrases), 1))
        if edit == "delete":
            return phrases[:place] + phrases[place + 1 :]
        if edit == "swap":
            other = drawn(len(phrases))
            swapped = list(phrases)
            swapped[place], swapped[other] = phrases[other], phrases[place]
            return swapped
        phrase = self._bank[drawn(len(self._bank))]
        kept = place if edit == "add" else place + 1
        return [*phrases[:place], phrase, *phrases[kept:]]


def phrases_of(written: str) -> list[str]:
    """An instruction as phrases of a few words, which end at punctuation."""
    phrases: list[str] = []
    for part in re.findall(r"[^,.;:!?]+[,.;:!?]*|[,.;:!?]+", written):
        words = part.split()
        phrases += [
            " ".join(words[start : start + _WORDS]) for start in range(0, len(words), _WORDS)
        ]
    return phrases


def joined(phrases: list[str]) -> str:
    """Phrases as one text."""
    return re.sub(r"\s+([,.;:!?])", r"\1", " ".join(phrases))
