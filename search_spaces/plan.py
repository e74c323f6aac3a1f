"""One sampled trial, typed: all that a worker is told about what to try."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.kind_spaces import (
    Calibration,
    Init,
    KVPosition,
    Layout,
    Optimizer,
    Schedule,
    Searcher,
    position_of,
)
from autoprompt.search_spaces.pieces import Position
from autoprompt.search_spaces.wording_space import Choosing


class AnyKind(Document):
    """What a plan of any kind says.

    Attributes:
        seed: of what the trial draws for itself.
        data_seed: of the order of the train texts; trials that share a worker share it.
        template, label_words: asked in place of the task's own; None for these.
        demonstrations: so many labelled train texts stand before each text.
        choose: which of them.
        tuner: what carries it out; None for the one of its kind that ships.
    """

    seed: int
    data_seed: int = 0
    batch_size: int
    calibration: Calibration = "none"
    template: str | None = None
    label_words: dict[str, tuple[str, ...]] | None = None
    demonstrations: int = 0
    choose: Choosing = "random"
    tuner: str | None = None

    @property
    def rewords(self) -> bool:
        """Whether it brings a wording of its own."""
        others = self.template is not None or self.label_words is not None
        return others or self.demonstrations > 0

    @model_serializer(mode="wrap")
    def _plain(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What most plans leave to the task is not said of them: they read as they always did.
        content: dict[str, Any] = dump(self)
        for name in ("template", "label_words", "demonstrations", "choose", "tuner"):
            if content[name] == type(self).model_fields[name].default:
                del content[name]
        return content


class TrainedPlan(AnyKind):
    """Train `length` vectors, or keys and values, for `steps` steps of `batch_size` texts."""

    length: int
    init: Init
    init_text: str | None = None
    init_prompt: str | None = None
    optimizer: Optimizer = "adamw"
    learning_rate: float
    schedule: Schedule = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.0
    gradient_clip: float = 0.0
    steps: int

    @property
    def budget(self) -> int:
        """The number of steps this trial runs to its end."""
        return self.steps


class SoftPlan(TrainedPlan):
    """A prompt of nothing but vectors."""

    kind: Literal["soft"] = "soft"
    position: Position


class KVPlan(TrainedPlan):
    """A prompt of nothing but keys and values, `length` of them in every layer."""

    kind: Literal["kv"] = "kv"
    position: KVPosition


class HardPlan(AnyKind):
    """Improve at most `tokens` tokens over `rounds` rounds of `candidates` others."""

    kind: Literal["hard"] = "hard"
    searcher: Searcher = "swaps"
    batch_size: int = 16
    tokens: int = 0
    start: str = ""
    candidates: int = 0
    rounds: int = 1
    fluency: float = 0.0
    any_label: float = 0.0
    writer: str | None = None
    phrases: tuple[str, ...] | None = None
    position: Position = "suffix"

    @property
    def budget(self) -> int:
        """The number of rounds this trial runs to its end."""
        return self.rounds


class MixedPlan(TrainedPlan):
    """Vectors among `tokens` tokens, which `candidates` swaps try to better now and then."""

    kind: Literal["mixed"] = "mixed"
    layout: Layout
    tokens: int
    start: str
    candidates: int
    swap_every: int

    @property
    def position(self) -> Position:
        return position_of(self.layout)


AnyPlan = SoftPlan | HardPlan | MixedPlan | KVPlan
Plan = Annotated[AnyPlan, Field(discriminator="kind")]
_plans: TypeAdapter[AnyPlan] = TypeAdapter(Plan)


def plan_from_dict(content: dict[str, Any]) -> AnyPlan:
    """The inverse of `plan.model_dump()`."""
    return _plans.validate_python(content)
