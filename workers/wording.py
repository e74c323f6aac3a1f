"""How a row is asked about and how its answers are worded: what a prompt brings along, so that it
can be read without the search that made it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from autoprompt.search_spaces.documents import Document, parse
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.wording_space import WrittenLabelWords
from autoprompt.workers.template import Template

LabelScoring = Literal["first_token", "sum", "mean", "tree", "unconditional"]


class Wording(Document):
    """A template, and words for the labels: a pattern and its verbalizer (PET)."""

    #: What of the template's braces are columns of the data; every name in braces by default.
    columns: tuple[str, ...] | None = None
    #: Holds {text}, or other columns of the data by their names, each once. A suffix prompt is laid
    #: right after the last of them, a prefix prompt before all. For a model that fills masks it
    #: also holds {mask}, where the label's word is asked for.
    template: str = "{text}"
    #: The kind of answers: a name in `ANSWERS`, or your own as module:class.
    answers: str = "label_words"
    #: Label in the data -> the words that stand for it (the verbalizer of PET, LM-BFF). Without
    #: them the labels' own names are their words.
    label_words: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    #: What a word of several tokens is judged by: its first token; or the log-probabilities of all
    #: of them, summed or averaged; or, token by token, its choice among those that go on a word
    #: there (tree). Options are judged by the average (which first_token stands for, too), the sum,
    #: or by how much likelier they are behind the text than without one (unconditional).
    label_scoring: LabelScoring = "first_token"
    #: Of several labels a text (`answers: several_labels`): what is asked of each behind the
    #: template, with the label's word in the place of {label}.
    label_question: str = "\n{label}?"
    #: Likewise, what yes and no are.
    yes_no: tuple[str, str] = ("yes", "no")
    #: Of multiple choice (`answers: options`): the column that holds a row's options as a list, or
    #: the columns that hold one each.
    options: tuple[str, ...] = ()
    #: Of a list, how many options there may be.
    most_options: int = Field(default=10, ge=2)
    #: Of answers that are written (`answers: text`): where they end, beside the model's own end.
    stop: tuple[str, ...] = ("\n",)
    #: Likewise, how many tokens they have at most.
    longest_answer: int = Field(default=32, ge=1)
    #: Likewise, of answers that are words of the text (extractive question answering): the column
    #: they stand in. A row is refused whose right answer does not.
    extractive: str | None = None

    @field_validator("template")
    @classmethod
    def _parsed(cls, value: str, info: ValidationInfo) -> str:
        Template.parse(value, info.data.get("columns"))
        return value

    @model_validator(mode="after")
    def _with_columns(self) -> "Wording":
        # Said outright, so that what is stored means the same to every later version.
        object.__setattr__(self, "columns", self.parsed_template.columns)
        if self.extractive not in (None, *(self.columns or ())):
            raise ValueError(
                f"extractive: {self.extractive} is no column of the template, which reads "
                f"{', '.join(self.columns or ())}"
            )
        return self

    @classmethod
    def of(cls, spec: "Wording") -> "Wording":
        """The wording alone of what says more than that."""
        return cls(**{name: getattr(spec, name) for name in Wording.model_fields})

    @classmethod
    def of_task(cls, content: Mapping[str, Any]) -> "Wording":
        """The wording of a task as a search's stored configuration has it.

        Raises:
            ConfigError: another version stored it, and this one cannot read it.
        """
        known = {name: content[name] for name in cls.model_fields if name in content}
        return parse(cls, known, "task")

    def reworded(
        self,
        template: str | None,
        label_words: Mapping[str, Sequence[str]] | None,
        source: str = "plan",
    ) -> "Wording":
        """The same answers asked for in other words.

        Args:
            template, label_words: None leaves them as they are.
            source: where they are named, for errors.

        Raises:
            ConfigError: they make no wording, read other columns, or are for other labels.
        """
        content = Wording.of(self).model_dump()
        if template is not None:
            content |= {"template": template, "columns": None}
        if label_words is not None:
            if set(label_words) != set(self.label_words):
                raise ConfigError(
                    f"{source}: label_words: words for {', '.join(label_words)}, and the labels "
                    f"are {', '.join(self.label_words)}"
                )
            content["label_words"] = {label: label_words[label] for label in self.label_words}
        wording = parse(Wording, content, source)
        # What has been read of the data is what the task asks of it.
        missing = [name for name in wording.columns or () if name not in (self.columns or ())]
        if missing:
            raise ConfigError(
                f"{source}: the template reads the column {missing[0]!r}, and the task's has "
                f"{', '.join(self.columns or ())}"
            )
        return wording

    @property
    def reads(self) -> tuple[str, ...]:
        """What is read of a row: the template's columns, and those of its options."""
        return (*(self.columns or ()), *self.options)

    @field_validator("options", "stop", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def parsed_anew(self) -> tuple[str, ...]:
        """The columns of the template, whatever was known of them."""
        return Template.parse(self.template).columns

    @property
    def parsed_template(self) -> Template:
        """The template, taken apart."""
        return Template.parse(self.template, self.columns)

    @field_validator("label_words", mode="before", json_schema_input_type=WrittenLabelWords)
    @classmethod
    def _labels_as_text(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected a mapping of each label to its word, or its words")
        one_of = info.data.get("answers") in ("label_words", "scale")
        if len(value) < 2 and one_of:
            raise ValueError("needs at least two labels, each with its word")
        words = {
            str(label): tuple(str(word) for word in given)
            if isinstance(given, (list, tuple))
            else (str(given),)
            for label, given in value.items()
        }
        for label, given in words.items():
            if not given or not all(word.strip() for word in given):
                raise ValueError(f"label {label!r} has an empty word")
        return words
