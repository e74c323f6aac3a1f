"""Kinds of answers. A new one is a file beside this one and an entry here."""

from collections.abc import Callable

from autoprompt.search_spaces.registry import Registry
from autoprompt.workers.answers.answers import Answers
from autoprompt.workers.answers.label_words import LabelWords
from autoprompt.workers.wording import Wording

ANSWERS: Registry[Callable[[Wording], Answers]] = Registry(
    "kind of answers", {"label_words": LabelWords}, group="autoprompt.answers"
)


def answers_of(wording: Wording) -> Answers:
    """The answers that a wording asks for.

    Raises:
        ConfigError: a kind that there is not.
    """
    return ANSWERS[wording.answers](Wording.of(wording))
