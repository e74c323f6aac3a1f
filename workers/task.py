"""The task: what is asked of a text and what may be answered, seated on one model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import field_validator, model_validator

from autoprompt.workers.answers import ANSWERS, Answers, Readout, answers_of
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.question import Question, build_question
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family


#: In the place of a kind of answers: what the data's columns are taken for before a search starts.
GUESSED = ("auto", "pair", "qa")


class TaskSpec(Wording):
    """What a search asks of its texts, and what its trials are judged by."""

    #: What trials are judged by: a name in `METRICS`, or your own as module:function. Without one,
    #: what the kind of answers is usually judged by: accuracy, where words stand for labels.
    metric: str = "accuracy"

    @field_validator("answers")
    @classmethod
    def _known_answers(cls, value: str) -> str:
        if ":" not in value and value not in GUESSED:
            ANSWERS[value]
        return value

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        # A user's own is imported when it is needed: whoever only labels texts has no use for it.
        if ":" not in value:
            METRICS[value]
        return value

    @model_validator(mode="after")
    def _as_usual(self) -> "TaskSpec":
        if ":" in self.answers or self.answers in GUESSED:
            return self
        kind: Any = ANSWERS[self.answers]
        if "metric" not in self.model_fields_set:
            object.__setattr__(self, "metric", kind.metric)
        if "template" not in self.model_fields_set:
            object.__setattr__(self, "template", kind.template)
            object.__setattr__(self, "columns", self.parsed_anew)
        return self


@dataclass(frozen=True, eq=False)
class Task:
    """A wording seen through one model's tokenizer.

    Attributes:
        answers: what may be answered, as the wording has it.
        readout: the same behind the question, as tokens.
    """

    question: Question
    answers: Answers
    readout: Readout


def build_task(wording: Wording, tokenizer: Any, family: "Family" = "causal") -> Task:
    """Tokenize the template and the answers as they will stand in context.

    Raises:
        ConfigError: the answers cannot be told apart, or from what stands before them, or the
            template does not suit the model's family.
    """
    question = build_question(wording.parsed_template, tokenizer, family)
    answers = answers_of(wording)
    return Task(question, answers, answers.seated(question, family))
