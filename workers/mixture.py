"""Several tasks over one frozen model: their prompts share passes over the same texts.

A prompt and its template's tail stand behind the text as one block, whatever the task: blocks of
different tasks stand side by side as those of one ensemble do, and each is asked for its own words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autoprompt.workers.answers import Readout
from autoprompt.workers.batches import windows
from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.question import Question
from autoprompt.workers.read_once import read_once
from autoprompt.workers.rows import Text
from autoprompt.workers.scorers import scorer_of
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task
from autoprompt.workers.text_cache import TextCache

#: Bytes of texts that are kept while one prompt after another goes over them.
_CACHE_BYTES = 1 << 28


@dataclass(frozen=True)
class Panel:
    """One task, and the prompts that answer it.

    Attributes:
        longest_prompt: tokens to leave room for beside every text.
    """

    task: Task
    prompts: Sequence[Prompt]
    longest_prompt: int


@dataclass(frozen=True)
class _Seat:
    """Where a panel's prompt is scored: as which row and which answers of which scorer; and how its
    log-probabilities are made of theirs, None where they are the scorer's own."""

    scorer: Scorer
    prompt: Prompt
    answers: slice
    prior: Tensor
    readout: Readout | None


#: A scorer of several panels, and which of its answers are whose, by the panels' ids.
_Shared = tuple[Scorer, dict[int, slice]]


class Mixture:
    """Panels on one model."""

    def __init__(self, model: FrozenModel, panels: Sequence[Panel]) -> None:
        self._model = model
        self._panels = panels
        self._cache = TextCache(model, _CACHE_BYTES)
        shared: dict[Question, list[Panel]] = {}
        for panel in panels:
            if self._may_share(panel.task):
                shared.setdefault(_read_alike(panel.task.question), []).append(panel)
        together = {key: self._together(group) for key, group in shared.items() if len(group) > 1}
        self._seats = [self._seated(panel, together) for panel in panels]

    def score_texts(
        self,
        texts: Sequence[Text],
        advance: Callable[[int], None] = lambda done: None,
        asked: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """The labels' log-probabilities for every panel's prompts beside the texts it is asked of.

        Args:
            advance: called with the number of texts done since the last call.
            asked: for each panel, the places of its B texts; all of them, where none are given.

        Returns:
            For each panel [N, B, L] float32 on the CPU.
        """
        asked = asked or [range(len(texts))] * len(self._panels)
        scored = [
            torch.empty(len(panel.prompts), len(texts), panel.task.readout.size)
            for panel in self._panels
        ]
        panels_of: list[list[int]] = [[] for _ in texts]
        for number, places in enumerate(asked):
            for place in places:
                panels_of[place].append(number)
        for window in windows(texts):
            self._score(texts, window, panels_of, scored)
            advance(len(window))
        return [whole[:, list(own)] for whole, own in zip(scored, asked, strict=True)]

    def _may_share(self, task: Task) -> bool:
        """Whether a task's tail may stand in a prompt: not if its words branch off it."""
        own = task.readout.branches or task.readout.continued
        return self._model.family == "causal" and not own

    def _score(
        self,
        texts: Sequence[Text],
        window: Sequence[int],
        panels_of: Sequence[Sequence[int]],
        scored: Sequence[Tensor],
    ) -> None:
        """Fill in what is said of some of the texts: those that are asked the same are a lot, and
        lots share passes."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for place in window:
            alike.setdefault(tuple(panels_of[place]), []).append(place)
        lots, asked = {}, {}
        for scorer in dict.fromkeys(seat.scorer for seats in self._seats for seat in seats):
            lots[scorer] = [
                (mine, places)
                for panels, places in alike.items()
                if (mine := self._seats_at(scorer, panels))
            ]
            asked[scorer] = [
                (
                    [self._seats[panel][row].prompt for panel, row in mine],
                    scorer.tokenize([texts[place] for place in places]),
                )
                for mine, places in lots[scorer]
            ]
        shared = read_once({scorer: own[0] for scorer, own in asked.items() if len(own) == 1})
        for scorer, own_lots in lots.items():
            once = shared.get(scorer)
            found = scorer.log_probs_each(asked[scorer]) if once is None else [once]
            for (mine, places), log_probs in zip(own_lots, found, strict=True):
                for (panel, row), own in zip(mine, log_probs, strict=True):
                    seat = self._seats[panel][row]
                    own = own[:, seat.answers]
                    if seat.readout is not None:
                        own = seat.readout.log_probs(own, seat.prior)
                    scored[panel][row, places] = own

    def _seats_at(self, scorer: Scorer, panels: Sequence[int]) -> list[tuple[int, int]]:
        """The seats of some panels that one scorer has: panels, and places in them."""
        return [
            (panel, row)
            for panel in panels
            for row, seat in enumerate(self._seats[panel])
            if seat.scorer is scorer
        ]

    def _together(self, group: Sequence[Panel]) -> _Shared | None:
        """One scorer for the answers of several tasks, and which of them are each panel's; None
        where they cannot be read in one pass."""
        first, *others = [panel.task for panel in group]
        readout = first.readout.beside([task.readout for task in others])
        if readout is None:
            return None
        slices: dict[int, slice] = {}
        before = 0
        for panel in group:
            slices[id(panel)] = slice(before, before + panel.task.readout.size)
            before += panel.task.readout.size
        task = Task(_read_alike(first.question), first.answers, readout)
        longest = max(panel.longest_prompt + len(panel.task.question.tail_ids) for panel in group)
        return scorer_of(self._model, task, longest, self._cache), slices

    def _seated(self, panel: Panel, together: Mapping[Question, _Shared | None]) -> list[_Seat]:
        alone = scorer_of(self._model, panel.task, panel.longest_prompt, self._cache)
        key = _read_alike(panel.task.question)
        shared = together.get(key) if self._may_share(panel.task) else None
        seats, readout = [], panel.task.readout
        for prompt in panel.prompts:
            prior = torch.tensor(prompt.prior or (0.0,) * panel.task.readout.size)
            if shared is not None and _takes_tail(prompt):
                scorer, slices = shared
                bare = _with_tail(replace(prompt, prior=()), panel.task)
                seats.append(_Seat(scorer, bare, slices[id(panel)], prior, readout))
            else:
                seats.append(_Seat(alone, prompt, slice(None), prior, None))
        return seats


def _takes_tail(prompt: Prompt) -> bool:
    """Whether a template's tail may stand in a prompt: among words or vectors behind the text."""
    return prompt.kind != "kv" and prompt.position in CausalFamily.reusable


def _with_tail(prompt: Prompt, task: Task) -> Prompt:
    """A prompt and its template's tail as one prompt behind the text."""
    own, tail = prompt.token_ids, task.question.tail_ids
    together = (*tail, *own) if prompt.position == "end" else (*own, *tail)
    return replace(prompt, token_ids=together, position="suffix")


def _read_alike(question: Question) -> Question:
    """Equal for questions to which a text is the same tokens: all but what stands behind it."""
    template = replace(question.template, tail="")
    return replace(question, template=template, tail_ids=(), before="", joint="")
