"""What requests and responses hold, as OpenAPI tells of it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autoprompt.serving.messages import ServedSearch


class PredictRequest(BaseModel):
    """Texts for one search to label."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"search": "movies", "texts": ["a joy", "dull"]}]},
    )

    search: str = Field(description="Its name, as GET /v1/searches has it.")
    texts: list[str] | None = Field(
        default=None, min_length=1, description="Texts, where the search reads one column."
    )
    rows: list[dict[str, str]] | None = Field(
        default=None, min_length=1, description="In their place, rows: columns by name."
    )

    @model_validator(mode="after")
    def _one_of(self) -> "PredictRequest":
        if (self.texts is None) == (self.rows is None):
            raise ValueError("give either texts or rows")
        return self


class PredictionBody(BaseModel):
    """What one text is answered."""

    label: Any = Field(
        description="A label, a list of labels, a number or a text, by the search's kind of "
        "answers; null where it abstains."
    )
    probability: float | None = Field(description="Of the answer that was voted for.")
    probabilities: dict[str, float] = Field(description="Of every label.")
    votes: float = Field(description="The part of the votes that the answer got.")
    reason: str | None = Field(description="Why there is no answer.")


class PredictResponse(BaseModel):
    """A search's answers, in the order of the texts."""

    search: str
    predictions: list[PredictionBody]


class SearchesResponse(BaseModel):
    """The searches that are served."""

    searches: list[ServedSearch]


class Health(BaseModel):
    """Whether requests are answered: ok, or loading."""

    status: str


class Refusal(BaseModel):
    """Why a request is not answered, in a line."""

    detail: str
