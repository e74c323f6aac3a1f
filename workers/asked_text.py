"""A text whose answers are its own: what may be said behind its question differs from text to
text."""

from collections.abc import Sequence

from autoprompt.workers.text_states import TokenIds


class AskedText(tuple[int, ...]):
    """A text's tokens; equal to the same tokens with other answers, as the model makes the same of
    them.

    Attributes:
        answers: what may stand behind the question, each as tokens: a row's options; or the right
            answer alone, where that is known.
    """

    answers: tuple[TokenIds, ...]

    def __new__(cls, ids: TokenIds, answers: Sequence[TokenIds]) -> "AskedText":
        text = super().__new__(cls, ids)
        text.answers = tuple(answers)
        return text


def answers_of_text(text: TokenIds) -> tuple[TokenIds, ...]:
    """What may stand behind a text's question; nothing where that is not known."""
    return text.answers if isinstance(text, AskedText) else ()
