"""What may be searched: the space a user writes in YAML, validated.

A dimension is written as one value (fixed), a list (categorical), or `{low, high, log}` (a range):

    soft:
      length: {low: 1, high: 16, log: true}
      init: [vocabulary, labels]
      steps: 60
"""

import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Tag, model_validator

from autoprompt.search_spaces.documents import Document, parse, read_yaml
from autoprompt.search_spaces.errors import ConfigError

#: suffix right after the text, prefix before everything, both parted over the two, end behind the
#: whole template, decoder behind the start token of a model that has a decoder of its own.
Position = Literal["suffix", "prefix", "both", "end", "decoder"]
Init = Literal["random", "uniform", "vocabulary", "labels", "text", "prompt"]
Optimizer = Literal["adamw", "adafactor"]
Schedule = Literal["linear", "cosine", "constant"]
Calibration = Literal["none", "content_free", "batch"]
#: Where the tokens and the vectors of a mixed prompt stand around the text.
Layout = Literal[
    "{text}{hard}{soft}",
    "{text}{soft}{hard}",
    "{hard}{text}{soft}",
    "{soft}{text}{hard}",
    "{hard}{soft}{text}",
    "{soft}{hard}{text}",
]
#: Where a KV prompt may stand: at the end it is before the template's last token; in a model with a
#: decoder of its own, before the decoder's start.
KVPosition = Literal["end", "suffix", "prefix", "decoder"]
KINDS = ("soft", "hard", "mixed", "kv")
V = TypeVar("V")
N = TypeVar("N", int, float)


class Range(Document, Generic[N]):
    """Every number from `low` to `high`, both included; `log` samples their logarithm evenly."""

    low: N
    high: N
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range[N]":
        if self.low > self.high:
            raise ValueError(f"reversed range: low {self.low} is above high {self.high}; swap them")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above 0, not at {self.low}")
        return self


def _shape(value: Any) -> str:
    if isinstance(value, (dict, Range)):
        return "range"
    return "choices" if isinstance(value, (list, tuple)) else "fixed"


def _some(values: tuple[V, ...]) -> tuple[V, ...]:
    if not values:
        raise ValueError("an empty list leaves nothing to choose from")
    if len(set(values)) < len(values):
        raise ValueError(f"the list names a value twice: {', '.join(map(str, values))}")
    return values


Choices = Annotated[tuple[V, ...], AfterValidator(_some), Tag("choices")]
Categorical = Annotated[Annotated[V, Tag("fixed")] | Choices[V], Discriminator(_shape)]
Numeric = Annotated[
    Annotated[N, Tag("fixed")] | Choices[N] | Annotated[Range[N], Tag("range")],
    Discriminator(_shape),
]


def values_of(dimension: Any) -> tuple[Any, ...]:
    """The values a dimension names: its choices, its two ends, or its one value."""
    if isinstance(dimension, Range):
        return (dimension.low, dimension.high)
    return dimension if isinstance(dimension, tuple) else (dimension,)


def _above(least: float, *, inclusive: bool) -> AfterValidator:
    def check(dimension: Any) -> Any:
        for value in values_of(dimension):
            if not math.isfinite(value):
                raise ValueError(f"must be a finite number, not {value}")
            if value < least or (value == least and not inclusive):
                raise ValueError(
                    f"must be {'at least' if inclusive else 'above'} {least:g}, not {value}"
                )
        return dimension

    return AfterValidator(check)


Count = Annotated[Numeric[int], _above(1, inclusive=True)]
Rate = Annotated[Numeric[float], _above(0, inclusive=False)]
Amount = Annotated[Numeric[float], _above(0, inclusive=True)]


class TrainedSpace(Document):
    """How numbers are trained: what soft, mixed and KV prompts share."""

    length: Count
    init: Categorical[Init] = "vocabulary"
    #: The phrases that `init: text` starts from.
    init_text: Categorical[str] | None = None
    #: The earlier prompts that `init: prompt` starts from: a .safetensors file each, or a search.
    init_prompt: Categorical[str] | None = None
    optimizer: Categorical[Optimizer] = "adamw"
    learning_rate: Rate
    #: How the learning rate goes on after its warm-up, which takes a part of the steps.
    schedule: Categorical[Schedule] = "linear"
    warmup: Amount = 0.1
    weight_decay: Amount = 0.0
    #: The largest norm of a gradient; 0 clips none.
    gradient_clip: Amount = 0.0
    steps: Count
    batch_size: Count = 16
    #: What is taken off each label's score: what the prompt says of any text.
    calibration: Categorical[Calibration] = "none"

    @model_validator(mode="after")
    def _text_given(self) -> "TrainedSpace":
        if "text" in values_of(self.init) and self.init_text is None:
            raise ValueError("init 'text' needs init_text: a phrase, or a list of phrases")
        if "prompt" in values_of(self.init) and self.init_prompt is None:
            raise ValueError("init 'prompt' needs init_prompt: a .safetensors file, or a search")
        return self

    @property
    def longest(self) -> int:
        """The most tokens, or rows, of a prompt."""
        return max(values_of(self.length))

    @property
    def earlier_prompts(self) -> tuple[str, ...]:
        """The earlier prompts that a trial may start from."""
        asked = self.init_prompt is not None and "prompt" in values_of(self.init)
        return values_of(self.init_prompt) if asked else ()


class SoftSpace(TrainedSpace):
    """Soft prompts: trained vectors in the place of tokens (Lester et al. 2021)."""

    position: Categorical[Position] = "suffix"

    @property
    def positions(self) -> set[Position]:
        return set(values_of(self.position))


class KVSpace(TrainedSpace):
    """KV prompts: trained keys and values in every layer (prefix tuning, Li and Liang 2021)."""

    position: Categorical[KVPosition] = "end"

    @model_validator(mode="after")
    def _init_known(self) -> "KVSpace":
        if "uniform" in values_of(self.init):
            raise ValueError("init 'uniform' is for vectors; keys and values have init 'random'")
        return self

    @property
    def positions(self) -> set[Position]:
        return set(values_of(self.position))


class HardSpace(Document):
    """Hard prompts: real tokens, found by gradient-guided swaps (AutoPrompt, GCG)."""

    tokens: Count
    #: The phrases a search starts from, repeated or cut to `tokens`.
    start: Categorical[str]
    #: How many swaps are tried in one round.
    candidates: Count = 16
    rounds: Count
    batch_size: Count = 16
    position: Categorical[Position] = "suffix"
    calibration: Categorical[Calibration] = "none"

    @property
    def longest(self) -> int:
        return max(values_of(self.tokens))

    @property
    def positions(self) -> set[Position]:
        return set(values_of(self.position))


class MixedSpace(TrainedSpace):
    """Mixed prompts: vectors that are trained, among tokens that are swapped meanwhile."""

    layout: Categorical[Layout] = "{hard}{text}{soft}"
    tokens: Count
    #: The phrases the tokens start from, repeated or cut to `tokens`.
    start: Categorical[str]
    #: How many swaps are tried at a time, and after how many steps of training each time.
    candidates: Count = 16
    swap_every: Count = 8

    @property
    def longest(self) -> int:
        return super().longest + max(values_of(self.tokens))

    @property
    def positions(self) -> set[Position]:
        return set(map(position_of, values_of(self.layout)))


def position_of(layout: Layout) -> Position:
    """Where a mixed prompt of this layout stands."""
    if layout.startswith("{text}"):
        return "suffix"
    return "prefix" if layout.endswith("{text}") else "both"


class Space(Document):
    """One search space; Optuna chooses between the kinds it holds."""

    description: str = ""
    soft: SoftSpace | None = None
    hard: HardSpace | None = None
    mixed: MixedSpace | None = None
    kv: KVSpace | None = None
    #: Kinds that are left out where the model cannot take them, instead of being refused.
    optional: tuple[Literal["kv"], ...] = ()

    @model_validator(mode="after")
    def _some_kind(self) -> "Space":
        if not self.kinds:
            raise ValueError(f"a space needs at least one of the kinds: {', '.join(KINDS)}")
        return self

    def without(self, kind: str) -> "Space | None":
        """The space without a kind that is optional; None where it is not, or is the only one."""
        if kind not in self.optional or self.kinds == (kind,):
            return None
        return self.model_copy(update={kind: None})

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of prompt this space holds, in a fixed order."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def parts(self) -> tuple[SoftSpace | HardSpace | MixedSpace | KVSpace, ...]:
        """Each kind's own part, in the same order."""
        return tuple(getattr(self, kind) for kind in self.kinds)

    def longest_prompt(self) -> int:
        """The most tokens a prompt of this space can take."""
        return max(part.longest for part in self.parts)

    @property
    def positions(self) -> frozenset[Position]:
        """Every place a prompt of this space may stand in."""
        return frozenset(position for part in self.parts for position in part.positions)


def preset_names() -> list[str]:
    """The names of the presets that ship with this package, sorted."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_path(name: str) -> Path:
    """The file of a preset, for reading or copying.

    Raises:
        ConfigError: no preset has that name.
    """
    if name not in preset_names():
        raise ConfigError(f"no preset named {name!r}; there are: {', '.join(preset_names())}")
    return Path(str(resources.files(__package__) / f"{name}.yaml"))


def load_space(reference: str | dict[str, Any], base: Path, source: str) -> Space:
    """A space from a preset's name, a YAML file (relative to `base`), or a mapping in place.

    Args:
        reference: preset name, path ending in .yaml or .yml, or the mapping itself.
        base: the folder that relative paths start from.
        source: the name of the file holding the reference, for errors.

    Raises:
        ConfigError: no such preset or file, or it does not validate.
    """
    if isinstance(reference, dict):
        return parse(Space, reference, f"{source}: space")
    if reference.endswith((".yaml", ".yml")):
        path = base / reference
        return parse(Space, read_yaml(path), str(path))
    try:
        path = preset_path(reference)
    except ConfigError as error:
        raise ConfigError(f"{source}: space: {error}, or a path ending in .yaml") from None
    return parse(Space, read_yaml(path), str(path))
