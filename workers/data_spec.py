"""Where the labelled texts are, and how they are divided: the configuration's `data`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from autoprompt.search_spaces.documents import Document
from autoprompt.workers.data_files import RightAnswers, RowReader, is_file

Size = int | float


class Sizes(Document):
    """How many texts each split takes: a number, or a fraction of all."""

    #: For prompts to learn from: a number of texts, or a fraction of all.
    train: Size = 0.6
    #: For trials to be compared on.
    validation: Size = 0.2
    #: For the result to be scored on, once.
    test: Size = 0.2

    @field_validator("*")
    @classmethod
    def _positive(cls, value: Size) -> Size:
        if value <= 0 or (isinstance(value, float) and value >= 1):
            raise ValueError(f"a number of texts from 1 up, or a fraction between 0 and 1: {value}")
        return value

    @model_serializer(mode="wrap")
    def _as_given(self, dumped: SerializerFunctionWrapHandler) -> dict[str, Size]:
        # A file of a split is cut to a size that is given, and to no other: what is stored must
        # not say more than the user did.
        return {name: size for name, size in dumped(self).items() if name in self.model_fields_set}


class Paths(Document):
    """A file for each split; what is not given is cut from train."""

    #: The texts that prompts learn from.
    train: str
    #: Those that trials are compared on.
    validation: str | None = None
    #: Those that the result is scored on, once.
    test: str | None = None


class DataSpec(Document):
    """Where the labelled texts are."""

    #: A CSV, TSV, JSON (lines) or Parquet file, a file for each split, or a Hub id.
    path: str | Paths
    #: The Hub data set's configuration, where it has several.
    subset: str | None = None
    #: The column that a template calls {text}; others it calls by their own names, or as `columns`
    #: says. Columns are named, or a path into one is, as answers.text.
    text: str = "text"
    #: In the place of `text`: a column of lists of tokens, which {text} has with spaces between;
    #: the label's column has a list of their tags (IOB, IOBES), which become spans of {text}.
    tokens: str | None = None
    #: What a template calls a column -> its name in the data.
    columns: dict[str, str] = Field(default_factory=dict)
    #: The column of the right answers.
    label: str = "label"
    #: A label in the data -> what the task calls it.
    label_map: dict[str, str] = Field(default_factory=dict)
    #: A column of names: texts of one name never stand in two splits.
    group: str | None = None
    #: How many texts each split takes.
    sizes: Sizes = Field(default_factory=Sizes)
    #: In every split that is cut here, as many texts of each label (true), or labels as often as in
    #: the data (stratified), or as it comes (false).
    balanced: bool | Literal["stratified"] = True
    #: So many texts of each label to train on, and, unless `sizes` says otherwise, to validate.
    shots: int | None = Field(default=None, ge=1)
    #: What is done with texts that are the same but for case, white space and punctuation: of
    #: equal ones the first is kept anyway.
    duplicates: Literal["keep", "drop"] = "keep"
    #: How much a train text weighs in the loss: its label's texts together as much as any other
    #: label's (balanced); null for all alike.
    class_weights: Literal["balanced"] | None = None

    @field_validator("balanced", mode="before")
    @classmethod
    def _known_balance(cls, value: Any) -> Any:
        if not isinstance(value, bool) and value != "stratified":
            raise ValueError(f"true, false or stratified, not {value!r}")
        return value

    @field_validator("label_map", mode="before")
    @classmethod
    def _names_as_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected a mapping of each label in the data to its name in the task")
        return {str(label): str(name) for label, name in value.items()}

    @model_validator(mode="after")
    def _said_once(self) -> "DataSpec":
        own = None if self.text == "text" else self.text
        if sum(name is not None for name in (own, self.tokens, self.columns.get("text"))) > 1:
            raise ValueError("one of text, tokens and columns.text names the column of {text}")
        if self.shots is not None and "train" in self.sizes.model_fields_set:
            raise ValueError("shots and sizes.train both say how many texts train: give one")
        return self

    def named(self, columns: Sequence[str]) -> dict[str, str]:
        """A template's columns, and what they are called in the data."""
        names = {"text": self.tokens or self.text} | self.columns
        return {column: names.get(column, column) for column in columns}

    def reader(
        self, columns: Mapping[str, str], answers: RightAnswers, label: str | None = None
    ) -> RowReader:
        """What reads labelled rows of data that are laid out so.

        Args:
            columns: what templates call the columns they read -> their names in the data.
            label: the labels' column, where it is called otherwise.
        """
        return RowReader(columns, label or self.label, answers, self.label_map, bool(self.tokens))

    def under(self, base: Path) -> "DataSpec":
        """The same with its files' paths made absolute; a Hub id stays as it is."""

        def absolute(path: str) -> str:
            return str(under(base, path).absolute()) if is_file(path) else path

        if isinstance(self.path, str):
            return self.model_copy(update={"path": absolute(self.path)})
        given = {name: path for name, path in self.path.model_dump().items() if path}
        files = {name: str(under(base, path).absolute()) for name, path in given.items()}
        return self.model_copy(update={"path": self.path.model_copy(update=files)})


def under(base: Path, path: str) -> Path:
    """A path that starts from a folder, unless it is absolute."""
    return base / Path(path).expanduser()
