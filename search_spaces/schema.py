"""What may be searched: the space a user writes in YAML, validated.

A dimension is written as one value (fixed), a list (categorical), or `{low, high, log}` (a range):

    soft:
      length: {low: 1, high: 16, log: true}
      init: [vocabulary, labels]
      steps: 60
"""

from typing import Any, Literal, TypeVar

from pydantic import field_validator, model_validator

from autoprompt.search_spaces.dimensions import (
    Amount,
    Categorical,
    Count,
    Rate,
    values_of,
)
from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.pieces import PIECES, Pieces, Position
from autoprompt.search_spaces.wording_space import (
    DemonstrationSpace,
    LabelWords,
    Proposals,
    kinds_of,
    label_words_of,
    written,
)

Init = Literal["random", "uniform", "vocabulary", "labels", "text", "prompt", "examples"]
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
#: How the words of a hard prompt are found (`workers/tuners/searchers`); none asks the template as
#: it is.
Searcher = Literal["none", "swaps", "edits", "rewriting", "policy", "demonstrations"]
KINDS = ("soft", "hard", "mixed", "kv")


T = TypeVar("T", bound="TrainedSpace")


class KindSpace(Document):
    """What the spaces of all kinds of prompts share."""

    #: What carries out the trials of this kind: an installed package's tuner by its name, or your
    #: own as module:function; the one that ships where none is named.
    tuner: Categorical[str] | None = None

    @property
    def tuners(self) -> tuple[str, ...]:
        """The tuners that it names."""
        return () if self.tuner is None else values_of(self.tuner)


class TrainedSpace(KindSpace):
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

    @model_validator(mode="after")
    def _init_known(self) -> "SoftSpace":
        return _without_examples(self)

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


class HardSpace(KindSpace):
    """Hard prompts: real words."""

    searcher: Categorical[Searcher] = "swaps"
    #: How many; with edits and rewriting, at most so many.
    tokens: Count = 8
    #: The phrases a search starts from; with swaps and policy, repeated or cut to `tokens`.
    start: Categorical[str] = ""
    #: How many others are tried in one round.
    candidates: Count = 16
    rounds: Count = 16
    #: Train texts that a round looks at first; what may be the best is compared on more.
    batch_size: Count = 16
    #: What a nat of the words' mean surprise to the frozen model weighs beside one of the loss.
    fluency: Amount = 0.0
    #: And what one of the surprise at any label at all does.
    any_label: Amount = 0.0
    #: The causal model that rewrites: a Hub id or a folder; the frozen model itself without one.
    writer: str | None = None
    #: Phrases that edits may add; those that ship where none are given.
    phrases: tuple[str, ...] | None = None
    position: Categorical[Position] = "suffix"
    calibration: Categorical[Calibration] = "none"

    @model_validator(mode="after")
    def _start_given(self) -> "HardSpace":
        searchers = set(values_of(self.searcher)) - {"none", "demonstrations"}
        if searchers and not all(phrase.strip() for phrase in values_of(self.start)):
            raise ValueError(
                "start is required: a phrase, or a list of phrases, none of them empty"
            )
        if self.phrases is not None and not any(phrase.strip() for phrase in self.phrases):
            raise ValueError("phrases is empty: name some, or leave it out for those that ship")
        return self

    @property
    def longest(self) -> int:
        worded = set(values_of(self.searcher)) - {"none", "demonstrations"}
        return max(values_of(self.tokens)) if worded else 0

    @property
    def positions(self) -> set[Position]:
        searchers = set(values_of(self.searcher))
        own = set(values_of(self.position)) if searchers - {"demonstrations"} else set()
        return own | ({"prefix"} if "demonstrations" in searchers else set())


class MixedSpace(TrainedSpace):
    """Mixed prompts: vectors that are trained, among tokens that are swapped meanwhile."""

    layout: Categorical[Layout] = "{hard}{text}{soft}"
    tokens: Count
    #: The phrases the tokens start from, repeated or cut to `tokens`.
    start: Categorical[str]
    #: How many swaps are tried at a time, and after how many steps of training each time.
    candidates: Count = 16
    swap_every: Count = 8

    @model_validator(mode="after")
    def _init_known(self) -> "MixedSpace":
        return _without_examples(self)

    @property
    def longest(self) -> int:
        return super().longest + max(values_of(self.tokens))

    @property
    def positions(self) -> set[Position]:
        return set(map(position_of, values_of(self.layout)))


def _without_examples(space: T) -> T:
    if "examples" in values_of(space.init):
        raise ValueError("init 'examples' is for keys and values; vectors have init 'text'")
    return space


def position_of(layout: Layout) -> Position:
    """Where a mixed prompt of this layout stands."""
    if layout.startswith("{text}"):
        return "suffix"
    return "prefix" if layout.endswith("{text}") else "both"


class Space(Document):
    """One search space; Optuna chooses between the kinds it holds."""

    description: str = ""
    #: The templates that trials choose from, with places for {hard}, {soft} or {kv} or without;
    #: built_in stands for a few, before which is the task's own beginning. Without any it is the
    #: task's.
    template: Categorical[str] | None = None
    #: The label words that they choose from: the task's own where none are given.
    label_words: tuple[LabelWords, ...] | Proposals | None = None
    demonstrations: DemonstrationSpace | None = None
    soft: SoftSpace | None = None
    hard: HardSpace | None = None
    mixed: MixedSpace | None = None
    kv: KVSpace | None = None
    #: What is left out where the model cannot take it, or the data have no room for it, instead of
    #: being refused.
    optional: tuple[Literal["kv", "rewriting", "demonstrations"], ...] = ()

    @field_validator("label_words", mode="before")
    @classmethod
    def _sets_of_words(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        sets = tuple(map(label_words_of, value))
        if not sets:
            raise ValueError("an empty list leaves nothing to choose from")
        names = [written(words) for words in sets if isinstance(words, dict)]
        if len(set(names)) < len(names):
            raise ValueError("the list names the same label words twice")
        return sets

    @model_validator(mode="after")
    def _some_kind(self) -> "Space":
        if not self.kinds:
            raise ValueError(f"a space needs at least one of the kinds: {', '.join(KINDS)}")
        return self

    @model_validator(mode="after")
    def _some_template(self) -> "Space":
        for template in self.templates:
            try:
                kinds_of(template)
            except KeyError:
                raise ValueError(
                    f"template {template!r}: {{kv}} stands in no template with other pieces"
                ) from None
        for kind in self.kinds:
            if self.template is not None and not self.templates_for(kind):
                raise ValueError(f"no template has a place for {kind} prompts: leave {kind} out")
        unused = [
            template
            for template in self.templates
            if kinds_of(template) and not kinds_of(template) & set(self.kinds)
        ]
        if unused:
            (kind,) = kinds_of(unused[0])
            raise ValueError(
                f"template {unused[0]!r} has a piece that no trial fills: add {kind} to the space"
            )
        return self

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates that it names."""
        return () if self.template is None else values_of(self.template)

    def templates_for(self, kind: str) -> tuple[str, ...]:
        """Those that a prompt of this kind may stand in."""
        return tuple(
            template for template in self.templates if kinds_of(template) in ({kind}, frozenset())
        )

    def without(self, name: str) -> "Space | None":
        """The space without a kind, or a searcher, that is optional; None where it is not, or is
        the only one."""
        if name not in self.optional:
            return None
        if name in KINDS:
            return None if self.kinds == (name,) else self.model_copy(update={name: None})
        known = values_of(self.hard.searcher) if self.hard is not None else ()
        left = tuple(each for each in known if each != name)
        if self.hard is None or not left:
            return None
        return self.model_copy(update={"hard": self.hard.model_copy(update={"searcher": left})})

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of prompt this space holds, in a fixed order."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def parts(self) -> tuple[SoftSpace | HardSpace | MixedSpace | KVSpace, ...]:
        """Each kind's own part, in the same order."""
        return tuple(getattr(self, kind) for kind in self.kinds)

    @property
    def tuners(self) -> tuple[str, ...]:
        """The tuners that its kinds name."""
        return tuple(name for part in self.parts for name in part.tuners)

    def longest_prompt(self) -> int:
        """The most tokens a prompt of this space can take: words between pieces have at most one
        for each of their bytes."""
        pieces = [Pieces.of(each, "", "suffix") for each in self.templates if kinds_of(each)]
        words = [
            sum(len(part.encode()) for part in (*own.front, *own.behind) if part not in PIECES)
            for own in pieces
        ]
        return max(part.longest for part in self.parts) + max(words, default=0)

    @property
    def positions(self) -> frozenset[Position]:
        """Every place a prompt of this space may stand in."""
        own = {position for part in self.parts for position in part.positions}
        pieces = [template for template in self.templates if kinds_of(template)]
        if self.templates and len(pieces) == len(self.templates):
            own = set()
        return frozenset(own | {Pieces.of(template, "", "suffix").position for template in pieces})
