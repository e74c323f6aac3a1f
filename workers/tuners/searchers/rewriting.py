"""Instructions written by a language model: proposed from examples (APE, Zhou et al. 2023), from
earlier ones and their losses (OPRO, Yang et al. 2024), and by crossing and mutating the best
(EvoPrompt, Guo et al. 2024).

The writer is the frozen model itself, or another local causal model. A small model writes little
that helps: these papers use models of several billion parameters and more.
"""

from collections.abc import Mapping

from torch import Tensor

from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.searchers.searcher import OnePhrase, Place
from autoprompt.workers.writer import Writer, writer_of

#: Examples that an instruction is proposed from, and instructions that others are made of.
_EXAMPLES = 4
_PARENTS = 4


class Rewriting(OnePhrase):
    """Instructions that a model writes."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        writer = place.examples.writer or place.plan.writer
        self._writer: Writer = writer_of(writer, place.scorer.model)
        self._losses: dict[TokenIds, float] = {}

    def propose(self, best: TokenIds, gradient: Tensor | None, part: float) -> list[TokenIds]:
        plan = self.place.plan
        asked = [
            self._from_examples() if part == 0 else self._from_best(number)
            for number in range(plan.candidates)
        ]
        written = self._writer.write(asked, plan.tokens, self.place.drawn(1 << 30))
        return self.others(filter(None, written), best)

    def told(self, losses: Mapping[TokenIds, float]) -> None:
        self._losses |= losses

    def _from_examples(self) -> str:
        """APE: what instruction gave these answers to these texts?"""
        place = self.place
        decode = place.scorer.model.tokenizer.decode
        lines = []
        for _ in range(_EXAMPLES):
            number = place.drawn(len(place.examples.train))
            text = str(decode(place.examples.train[number], skip_special_tokens=True))
            answer = place.examples.said(number, place.scorer.task.answers)
            lines.append(f"Input: {text.strip()}\nOutput: {answer}")
        shown = "\n\n".join(lines)
        return (
            f"{shown}\n\nIn a few words, what instruction was given to get these outputs? Write "
            "the instruction alone."
        )

    def _from_best(self, number: int) -> str:
        """OPRO and EvoPrompt by turns: a better one than these; two of them crossed."""
        ranked = sorted(self._losses, key=self._losses.__getitem__)[:_PARENTS]
        if number % 2 or len(ranked) < 2:
            shown = "\n".join(
                f"{self.written[ids]} (loss {self._losses[ids]:.3f})" for ids in reversed(ranked)
            )
            return (
                f"Instructions for the same task, and their losses:\n{shown}\n\nWrite one more "
                "short instruction with a lower loss. Write the instruction alone."
            )
        first = self.place.drawn(len(ranked))
        second = (first + 1 + self.place.drawn(len(ranked) - 1)) % len(ranked)
        return (
            f"Instruction 1: {self.written[ranked[first]]}\n"
            f"Instruction 2: {self.written[ranked[second]]}\n\nCombine the two into one short new "
            "instruction and change a word of it. Write the instruction alone."
        )
