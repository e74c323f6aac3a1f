"""How what a trial finds, and the words between, make one prompt."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from autoprompt.search_spaces import AnyPlan, HardPlan, MixedPlan
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.pieces import PIECES, Pieces, Position
from autoprompt.workers.prompt import VIRTUAL, Laid, Prompt, hard_prompt, lay, trained_prompt
from autoprompt.workers.question import ids_of
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.vocabulary import reads_back

#: Stands in a pattern where a token is searched for.
_SEARCHED = -2


def pieces_of(plan: AnyPlan, template: str, columns: Sequence[str] | None = None) -> Pieces:
    """Where the pieces of a plan's prompt stand.

    Args:
        template: the plan's own, or its task's.

    Raises:
        ConfigError: a piece stands where none can.
    """
    layout = plan.layout if isinstance(plan, MixedPlan) else None
    shows = isinstance(plan, HardPlan) and plan.searcher == "demonstrations"
    position = "prefix" if shows else plan.position
    try:
        return Pieces.of(plan.template or template, plan.kind, position, layout, columns)
    except ValueError as error:
        raise ConfigError(f"plan: {error}") from None


class Arrangement:
    """A plan's searched tokens and vectors, P of them together with the words between them.

    Attributes:
        position: the prompt's.
    """

    def __init__(self, plan: AnyPlan, scorer: Scorer) -> None:
        self._scorer = scorer
        pieces = pieces_of(plan, scorer.wording.template, scorer.wording.columns)
        self.position: Position = pieces.position
        counts = {"{hard}": getattr(plan, "tokens", 0), "{soft}": getattr(plan, "length", 0)}
        parts = [*pieces.front, *pieces.behind]
        shares = {
            name: iter(_shares(count, parts.count(name)))
            for name, count in counts.items()
            if name in parts
        }
        #: Fixed tokens, and where others and vectors stand, part by part.
        self._parts: list[TokenIds] = []
        for part in parts:
            if part in PIECES:
                stands = VIRTUAL if part == "{soft}" else _SEARCHED
                self._parts.append((stands,) * next(shares[part]))
            else:
                self._parts.append(ids_of(part, scorer.model.tokenizer))
        self._in_front = len(pieces.front)
        self._places = parts.count("{hard}")
        self._place = parts.index("{hard}") if self._places else -1
        before = parts[: self._place] if self._places else []
        begins = self._place == 0 and self._in_front > 0
        #: What a phrase needs before it: a space, behind a text or words that end in none.
        self.joint = "" if begins or "".join(before)[-1:].isspace() else " "

    def _sides(self, searched: int) -> tuple[list[TokenIds], list[TokenIds]]:
        """The parts before the text and behind it, for so many searched tokens: where there is one
        place for them they need not be as many as the plan says."""
        parts = self._parts
        if self._places == 1:
            own = (_SEARCHED,) * searched
            parts = [own if place == self._place else part for place, part in enumerate(parts)]
        return parts[: self._in_front], parts[self._in_front :]

    @property
    def may_resize(self) -> bool:
        """Whether the searched tokens may be more or fewer than the plan says."""
        return self._places == 1

    def sides(self, searched: TokenIds) -> tuple[TokenIds, TokenIds]:
        """All tokens before the text and behind it, with these in their places; a place without one
        is left out."""
        waiting = iter(searched)
        front, behind = (
            [next(waiting, _SEARCHED) if token == _SEARCHED else token for token in chain(*side)]
            for side in self._sides(len(searched))
        )
        return (
            tuple(token for token in front if token != _SEARCHED),
            tuple(token for token in behind if token != _SEARCHED),
        )

    def searched_places(self, searched: int) -> list[int]:
        """Where so many searched tokens stand among all of the prompt's."""
        front, behind = self._sides(searched)
        tokens = [*chain(*front), *chain(*behind)]
        return [place for place, token in enumerate(tokens) if token == _SEARCHED]

    def prompt(self, searched: TokenIds, vectors: Tensor | None = None) -> Prompt:
        """The prompt of these tokens, and of vectors [virtual tokens, H] where it has any."""
        front, behind = self.sides(searched)
        own = len(front) if self.position == "both" else 0
        ids = (*front, *behind)
        if vectors is None:
            return hard_prompt(ids, self.position, self._scorer.model, own)
        return trained_prompt(vectors, self.position, own, ids)

    def laid(self, searched: Tensor | None, vectors: Tensor | None = None) -> Laid:
        """The prompt's embeddings from those of its searched tokens [P, H] and its vectors
        [virtual tokens, H]; gradients flow to both."""
        sources = {_SEARCHED: searched, VIRTUAL: vectors}
        taken = dict.fromkeys(sources, 0)
        front, behind = self._sides(0 if searched is None else len(searched))
        runs: list[Tensor] = []
        for part in filter(None, (*front, *behind)):
            source = sources.get(part[0])
            if source is None:
                runs.append(self._scorer.model.embed(part).float())
                continue
            first = taken[part[0]]
            taken[part[0]] += len(part)
            whole = len(part) == len(source)
            runs.append(source if whole else source[first : first + len(part)])
        own = sum(map(len, front)) if self.position == "both" else 0
        if not runs:
            runs.append(self._scorer.model.embed(()).float())
        block = torch.cat(runs) if runs[1:] else runs[0]
        return lay(block, self.position, own)

    def reads_back(self, searched: Sequence[TokenIds]) -> list[bool]:
        """Whether each prompt of these tokens, written as text where it will stand, is tokenized as
        itself again; vectors are no text."""
        task, model = self._scorer.task, self._scorer.model
        sides = [
            [tuple(token for token in side if token != VIRTUAL) for side in self.sides(ids)]
            for ids in searched
        ]
        fronts, backs = [front for front, _ in sides], [behind for _, behind in sides]
        if self.position == "prefix":
            return reads_back(fronts, "prefix", task, model)
        if self.position != "both":
            return reads_back(backs, self.position, task, model)
        before = reads_back(fronts, "prefix", task, model)
        behind = reads_back(backs, "suffix", task, model)
        return [one and other for one, other in zip(before, behind, strict=True)]


def _shares(count: int, places: int) -> list[int]:
    """So many tokens over so many places, the first ones with more."""
    return [count // places + (place < count % places) for place in range(places)]
