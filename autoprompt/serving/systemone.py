"""The decision-model wire format (`POST /v1/systemone`) in front of searches.

A question's id is a search's name, and its options must be that search's labels. Instructions and
descriptions of options are not obeyed: a search asks in the words that it found.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoprompt.serving.answering import Answering, RefusedError
from autoprompt.serving.messages import ServedSearch
from autoprompt.workers.rows import Text

#: Labels that say that something is so, and their contraries.
_YES_NO = {"true": "false", "yes": "no", "1": "0"}

#: Kinds of answers of which exactly one label is right.
_ONE_LABEL = ("label_words", "scale")


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    instructions: Any = Field(default=None, description="Not obeyed.")


class Choice(_Question):
    """One of the search's labels."""

    type: Literal["choice"]
    criteria: dict[str, Any] = Field(
        min_length=1, description="The search's labels; their descriptions are not obeyed."
    )


class Score(_Question):
    """A level, counted from 0: the search's labels in their order."""

    type: Literal["score"]
    criteria: list[str] = Field(min_length=1, description="The search's labels, lowest first.")


class Noul(_Question):
    """Whether something is so, by a search whose labels are true and false, or yes and no."""

    type: Literal["noul"]
    criteria: Any = Field(default=None, description="Not obeyed.")


class SystemOneRequest(BaseModel):
    """Questions about one state."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "state": "a joy from start to finish",
                    "questions": {
                        "movies": {
                            "type": "choice",
                            "criteria": {"negative": None, "positive": None},
                        }
                    },
                }
            ]
        },
    )

    state: str | dict[str, Any] = Field(description="A text, or a search's columns by their names.")
    questions: dict[str, Annotated[Choice | Score | Noul, Field(discriminator="type")]] = Field(
        min_length=1, description="By the names of the searches that answer them."
    )
    model: str | None = Field(default=None, description="Any: there is one.")


class ChoiceAnswer(BaseModel):
    """The label that the search answers."""

    type: Literal["choice"] = "choice"
    choice: str
    probabilities: dict[str, float]
    confidence: float = Field(
        description="0 where all labels are as probable, 1 where one is sure."
    )
    abstain: bool = Field(description="The search is not sure enough; the choice is the likeliest.")


class ScoreAnswer(BaseModel):
    """The expected level."""

    type: Literal["score"] = "score"
    score: float
    legend: dict[str, str] = Field(description="Levels by their numbers.")
    probabilities: dict[str, float] = Field(description="Likewise.")
    confidence: float = Field(description="As of a choice.")


class NoulAnswer(BaseModel):
    """How probable it is that it is so."""

    type: Literal["noul"] = "noul"
    noul: float


class SystemOneResponse(BaseModel):
    """Answers by the questions' ids. Tokens are not counted, so `usage` is empty."""

    model: str
    answers: dict[
        str, Annotated[ChoiceAnswer | ScoreAnswer | NoulAnswer, Field(discriminator="type")]
    ]
    usage: dict[str, int] = Field(default_factory=dict)


def asked_by(request: SystemOneRequest, answering: Answering) -> dict[str, Text]:
    """For each question's search, the text that it labels.

    Raises:
        RefusedError: 422, a question is not of a search's labels, or the state lacks what its
            search reads.
    """
    asked: dict[str, Text] = {}
    for name, question in request.questions.items():
        try:
            search = answering.search(name)
        except RefusedError as error:
            status = 422 if error.status == 404 else error.status
            detail = f"questions.{name}: {error.detail}"
            raise RefusedError(status, detail, error.why, error.retry_after) from None
        _demand_fit(name, question, search)
        asked[name] = _text_of(name, request.state, search)
    return asked


def _demand_fit(name: str, question: Choice | Score | Noul, search: ServedSearch) -> None:
    def refuse(detail: str) -> RefusedError:
        return RefusedError(422, f"questions.{name}: {detail}", "question")

    if search.answers not in _ONE_LABEL:
        raise refuse(f"its search answers {search.answers}; ask it by POST /v1/predict")
    labels = ", ".join(search.labels)
    if isinstance(question, Noul):
        if _true_of(search.labels) is None:
            raise refuse(
                f"a noul needs a search with the labels true and false, or yes and no; it has "
                f"{labels}: ask for a choice"
            )
    elif isinstance(question, Choice):
        if set(question.criteria) != set(search.labels):
            raise refuse(f"the options must be the search's labels, {labels}")
    elif sorted(question.criteria) != sorted(search.labels):
        raise refuse(f"the levels must be the search's labels, {labels}")
    elif search.answers == "scale" and question.criteria != search.labels:
        raise refuse(f"the levels must stand in the scale's order, {labels}")


def _text_of(name: str, state: str | Mapping[str, Any], search: ServedSearch) -> Text:
    if isinstance(state, str):
        if len(search.columns) > 1:
            columns = ", ".join(search.columns)
            raise RefusedError(
                422, f"questions.{name}: its search reads {columns}: give a state that has them",
                "text",
            )  # fmt: skip
        return state
    for column in search.columns:
        if not isinstance(state.get(column), str):
            raise RefusedError(
                422, f"questions.{name}: its search reads state.{column}, which is no text", "text"
            )
    own = {column: state[column] for column in search.columns}
    return own[search.columns[0]] if len(own) == 1 else own


def _true_of(labels: Sequence[str]) -> str | None:
    """Of two labels the one that says yes; None where neither does."""
    lower = {label.lower(): label for label in labels}
    for yes, no in _YES_NO.items():
        if len(labels) == 2 and lower.keys() == {yes, no}:
            return lower[yes]
    return None


def answers_to(
    request: SystemOneRequest,
    answering: Answering,
    labelled: Mapping[str, Sequence[Mapping[str, Any]]],
) -> SystemOneResponse:
    """The answers to a request's questions, of what their searches said.

    Args:
        labelled: search's name -> what it said of the state.
    """
    answers: dict[str, ChoiceAnswer | ScoreAnswer | NoulAnswer] = {}
    for name, question in request.questions.items():
        [said] = labelled[name]
        probabilities = said["probabilities"]
        if isinstance(question, Noul):
            true = _true_of(list(probabilities))
            assert true is not None
            answers[name] = NoulAnswer(noul=probabilities[true])
            continue
        own = {option: probabilities[option] for option in question.criteria}
        confidence = _confidence(list(own.values()))
        if isinstance(question, Choice):
            voted = said["label"] if said["label"] in own else max(own, key=own.__getitem__)
            answers[name] = ChoiceAnswer(
                choice=voted,
                probabilities=own,
                confidence=confidence,
                abstain=said["reason"] is not None,
            )
        else:
            levels = list(own)
            answers[name] = ScoreAnswer(
                score=sum(level * p for level, p in enumerate(own.values())),
                legend={str(level): label for level, label in enumerate(levels)},
                probabilities={str(level): own[label] for level, label in enumerate(levels)},
                confidence=confidence,
            )
    return SystemOneResponse(model="autoprompt", answers=answers)


def _confidence(probabilities: Sequence[float]) -> float:
    """From 0, all as probable, to 1, one of them sure."""
    chance = 1 / len(probabilities)
    if chance == 1:
        return 1.0
    return min(max((max(probabilities) - chance) / (1 - chance), 0.0), 1.0)
