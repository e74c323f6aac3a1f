"""What may be searched of each kind of prompt."""

from typing import Literal, TypeVar

from pydantic import model_validator

from autoprompt.search_spaces.dimensions import (
    Amount,
    Categorical,
    Count,
    Rate,
    values_of,
)
from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.pieces import Position

Init = Literal[
    "random", "uniform", "vocabulary", "labels", "template", "text", "prompt", "examples"
]
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

    #: Virtual tokens; of a KV prompt, rows of keys and values.
    length: Count
    #: What a prompt starts from: random vectors spread as the model's embeddings are (random) or
    #: between -0.5 and 0.5 (uniform), frequent words (vocabulary), the label words (labels), the
    #: template's own words (template), a phrase (text), an earlier prompt (prompt); of a KV prompt
    #: also whole train texts (examples).
    init: Categorical[Init] = "vocabulary"
    #: The phrases that `init: text` starts from.
    init_text: Categorical[str] | None = None
    #: The earlier prompts that `init: prompt` starts from: a .safetensors file each, or a search.
    init_prompt: Categorical[str] | None = None
    #: What trains it; adafactor is set as Lester et al. 2021 did.
    optimizer: Categorical[Optimizer] = "adamw"
    #: The highest learning rate, after the warm-up.
    learning_rate: Rate
    #: How the learning rate goes on after its warm-up.
    schedule: Categorical[Schedule] = "linear"
    #: The part of the steps over which the learning rate rises.
    warmup: Amount = 0.1
    #: How much of each number is taken off at each step, in learning rates.
    weight_decay: Amount = 0.0
    #: The largest norm of a gradient; 0 clips none.
    gradient_clip: Amount = 0.0
    #: Steps of training that a trial runs to its end.
    steps: Count
    #: Train texts in a step.
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

    #: Where it stands: right after the text (suffix), behind the whole template (end), before
    #: everything (prefix), half before and half after (both), behind a decoder's start (decoder).
    position: Categorical[Position] = "suffix"

    @model_validator(mode="after")
    def _init_known(self) -> "SoftSpace":
        return _without_examples(self)

    @property
    def positions(self) -> set[Position]:
        return set(values_of(self.position))


class KVSpace(TrainedSpace):
    """KV prompts: trained keys and values in every layer (prefix tuning, Li and Liang 2021)."""

    #: Where it stands: before the template's last token (end), between text and template (suffix),
    #: before everything (prefix), before a decoder's start (decoder).
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

    #: How words are found; none asks the template as it is.
    searcher: Categorical[Searcher] = "swaps"
    #: How many; with edits and rewriting, at most so many.
    tokens: Count = 8
    #: The phrases a search starts from; with swaps and policy, repeated or cut to `tokens`.
    start: Categorical[str] = ""
    #: How many others are tried in one round.
    candidates: Count = 16
    #: Rounds that a trial runs to its end.
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
    #: Where the words stand: right after the text (suffix), behind the whole template (end), before
    #: everything (prefix), half before and half after (both).
    position: Categorical[Position] = "suffix"
    #: What is taken off each label's score: what the prompt says of any text.
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

    #: How words, vectors and the text follow one another.
    layout: Categorical[Layout] = "{hard}{text}{soft}"
    #: How many words' tokens, beside the vectors.
    tokens: Count
    #: The phrases the tokens start from, repeated or cut to `tokens`.
    start: Categorical[str]
    #: How many swaps are tried at a time.
    candidates: Count = 16
    #: After how many steps of training swaps are tried each time.
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
