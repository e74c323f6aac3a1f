"""Kinds of answers. A new one is a file beside this one and an entry here."""

from collections.abc import Callable

from autoprompt.search_spaces.registry import Registry
from autoprompt.workers.answers.answers import Answers
from autoprompt.workers.answers.free_text import FreeText
from autoprompt.workers.answers.label_words import LabelWords
from autoprompt.workers.answers.options import Options
from autoprompt.workers.answers.scale import Scale
from autoprompt.workers.answers.several_labels import SeveralLabels
from autoprompt.workers.answers.spans import Spans
from autoprompt.workers.wording import Wording

ANSWERS: Registry[Callable[[Wording], Answers]] = Registry(
    "kind of answers",
    {
        "label_words": LabelWords,
        "options": Options,
        "scale": Scale,
        "several_labels": SeveralLabels,
        "text": FreeText,
        "spans": Spans,
    },
    group="autoprompt.answers",
)


def answers_of(wording: Wording) -> Answers:
    """The answers that a wording asks for.

    Raises:
        ConfigError: a kind that there is not.
    """
    return ANSWERS[wording.answers](Wording.of(wording))
