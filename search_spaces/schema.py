"""What may be searched: the space a user writes in YAML, validated.

A dimension is written as one value (fixed), a list (categorical), or `{low, high, log}` (a range):

    soft:
      length: {low: 1, high: 16, log: true}
      init: [vocabulary, labels]
      steps: 60
"""

from typing import Any, Literal

from pydantic import field_validator, model_validator

from autoprompt.search_spaces.dimensions import Categorical, values_of
from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.kind_spaces import HardSpace, KVSpace, MixedSpace, SoftSpace
from autoprompt.search_spaces.pieces import PIECES, Pieces, Position
from autoprompt.search_spaces.wording_space import (
    DemonstrationSpace,
    LabelWords,
    Proposals,
    WrittenLabelWords,
    kinds_of,
    label_words_of,
    written,
)

KINDS = ("soft", "hard", "mixed", "kv")


class Space(Document):
    """One search space; Optuna chooses between the kinds it holds."""

    #: What it is for, as `autoprompt spaces` tells it.
    description: str = ""
    #: The templates that trials choose from, with places for {hard}, {soft} or {kv} or without;
    #: built_in stands for a few, before which is the task's own beginning. Without any it is the
    #: task's.
    template: Categorical[str] | None = None
    #: The label words that they choose from: the task's own where none are given.
    label_words: tuple[LabelWords, ...] | Proposals | None = None
    #: Labelled train texts shown before each text.
    demonstrations: DemonstrationSpace | None = None
    #: Soft prompts: trained vectors.
    soft: SoftSpace | None = None
    #: Hard prompts: real words.
    hard: HardSpace | None = None
    #: Mixed prompts: vectors among words.
    mixed: MixedSpace | None = None
    #: KV prompts: trained keys and values of every layer.
    kv: KVSpace | None = None
    #: What is left out where the model cannot take it, or the data have no room for it, instead of
    #: being refused.
    optional: tuple[Literal["kv", "rewriting", "demonstrations"], ...] = ()

    @field_validator(
        "label_words",
        mode="before",
        json_schema_input_type=list[WrittenLabelWords] | Proposals | None,
    )
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
