"""Text in, label out: ensembles vote beside one frozen model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from autoprompt.search_model import model_of, on_one_model
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.statistics.abstention import Abstention
from autoprompt.store import SearchRecord
from autoprompt.workers.answers import Answers
from autoprompt.workers.baselines.fitting import Answering
from autoprompt.workers.combination import Combination
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.known_model import load_known_model
from autoprompt.workers.mixture import Mixture, Panel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.prompt import Prompt, by_wording
from autoprompt.workers.rows import Text, as_text, stripped
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.vote import Floats
from autoprompt.workers.wording import Wording


class Member(Protocol):
    """Who votes.

    Attributes:
        content: a prompt, as `Prompt.to_bytes` has it.
        fitted: of a baseline in its place, its name and what it has learnt.
    """

    @property
    def content(self) -> bytes: ...
    @property
    def fitted(self) -> tuple[str, bytes] | None: ...


class Voting(Protocol):
    """Prompts and baselines of one search that vote.

    Attributes:
        name: the search's.
        wording: the search's own, of prompts that brought none along, and of its baselines.
        longest_prompt: tokens to leave room for beside every text.
    """

    @property
    def name(self) -> str: ...
    @property
    def wording(self) -> Wording: ...
    @property
    def longest_prompt(self) -> int: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def members(self) -> Sequence[Member]: ...
    @property
    def combination(self) -> Combination: ...
    @property
    def abstention(self) -> Abstention | None: ...


class OfSearch(Voting, Protocol):
    """Those of a stored search; `Ensemble` is one."""

    @property
    def search(self) -> SearchRecord: ...


@dataclass(frozen=True)
class Prediction:
    """What one text is answered.

    Attributes:
        text: as it was given; a line for each of its columns where there are several.
        label: the answer: by its kind a label, a list of labels, a number, or a text; None where
            the search abstains.
        probability: of the answer that was voted for, as the members give it together; None where
            its kind has none.
        votes: the part of the votes it got, 0 to 1.
        probabilities: of every label, likewise; empty where there are no labels.
        reason: why there is no answer; None where there is one.
    """

    text: str
    label: Any
    probability: float | None
    votes: float
    probabilities: dict[str, float]
    reason: str | None = None


class Predictor:
    """The ensembles of one or several searches on one frozen model.

    Every text is read once for all of them, as far as their templates begin alike.
    """

    def __init__(self, model: FrozenModel, ensembles: Sequence[Voting]) -> None:
        self._ensembles = list(ensembles)
        self._answers: list[Answers] = []
        #: For every panel, whose members its prompts are: which ensemble's, and which of them.
        self._seats: list[tuple[int, list[int]]] = []
        #: Likewise of baselines that are no prompts.
        self._beside: list[tuple[int, list[int], Answering]] = []
        panels = []
        for number, ensemble in enumerate(ensembles):
            self._answers.append(ensemble.answers)
            members, longest = ensemble.members, ensemble.longest_prompt
            asking = [place for place, member in enumerate(members) if member.fitted is None]
            prompts = [Prompt.from_bytes(members[place].content) for place in asking]
            for wording, places in by_wording(prompts, ensemble.wording):
                task = build_task(wording, model.tokenizer, model.family)
                panels.append(Panel(task, [prompts[place] for place in places], longest))
                self._seats.append((number, [asking[place] for place in places]))
            fitted = {place: one.fitted for place, one in enumerate(members) if one.fitted}
            if fitted:
                task = build_task(ensemble.wording, model.tokenizer, model.family)
                answering = Answering(Scorer(model, task, longest), list(fitted.values()))
                self._beside.append((number, list(fitted), answering))
        self._mixture = Mixture(model, panels)

    @classmethod
    def load(cls, ensembles: "Sequence[OfSearch]") -> "Predictor":
        """The predictor of stored searches; the model is loaded once.

        Raises:
            ModelError: the model is no longer where it was, or is another one now.
            BadInputError: the searches are on several models.
        """
        return cls(load_known_model(model_for(ensembles)), ensembles)

    @property
    def searches(self) -> list[str]:
        """The names of the searches, in the order given."""
        return [ensemble.name for ensemble in self._ensembles]

    @property
    def labels(self) -> list[str]:
        """Every label that a text may get."""
        return list(dict.fromkeys(label for answers in self._answers for label in answers.names))

    def predict(
        self, texts: Sequence[Text], advance: Callable[[int], None] = lambda done: None
    ) -> dict[str, list[Prediction]]:
        """Label texts, in the order given, by every search: its name -> its predictions.

        Args:
            texts: strings where templates read one column, else columns by name.
            advance: called with the number of texts done since the last call.

        Raises:
            BadInputError: a text lacks a column.
            AutopromptError: a baseline that votes does not answer.
        """
        return self.answer(dict.fromkeys(self.searches, texts), advance)

    def answer(
        self,
        asked: Mapping[str, Sequence[Text]],
        advance: Callable[[int], None] = lambda done: None,
    ) -> dict[str, list[Prediction]]:
        """Label each search's own texts, all together: its name -> its predictions, in order. A
        text that several of them are asked is read once.

        Args:
            asked: search's name -> texts, as `predict` takes them.
            advance: as in `predict`, of different texts.

        Raises:
            BadInputError, AutopromptError: as `predict`.
        """
        read = {name: [stripped(text) for text in texts] for name, texts in asked.items()}
        place: dict[Text, int] = {}
        places = [
            [place.setdefault(text, len(place)) for text in read.get(name, ())]
            for name in self.searches
        ]
        if not place:
            return {name: [] for name in asked}
        scores = self._scores(list(place), places, advance)
        each = zip(self.searches, self._ensembles, self._answers, scores, strict=True)
        return {
            name: _predictions(asked[name], ensemble, answers, log_probs)
            for name, ensemble, answers, log_probs in each
            if name in asked
        }

    @property
    def abstains(self) -> bool:
        """Whether a text may get no label."""
        return any(ensemble.abstention is not None for ensemble in self._ensembles)

    def _scores(
        self,
        texts: Sequence[Text],
        places: Sequence[Sequence[int]],
        advance: Callable[[int], None],
    ) -> list[Floats]:
        """Of every ensemble, its members' log-probabilities: [N, B, L] each, of its own B texts.

        Args:
            places: for each ensemble, where its texts are among these.
        """
        scored = [
            np.empty((len(ensemble.members), len(own), answers.size), dtype=np.float32)
            for ensemble, answers, own in zip(self._ensembles, self._answers, places, strict=True)
        ]
        asked = [places[number] for number, _ in self._seats]
        scores = self._mixture.score_texts(texts, advance, asked)
        for (number, members), log_probs in zip(self._seats, scores, strict=True):
            scored[number][members] = log_probs.numpy()
        for number, members, answering in self._beside:
            if places[number]:
                own = [texts[place] for place in places[number]]
                scored[number][members] = answering.vote(own)
        return scored


def model_for(ensembles: "Sequence[OfSearch]") -> ModelSpec:
    """The model that several searches are on.

    Raises:
        ModelError, BadInputError: as `Predictor.load`.
    """
    first, *others = [ensemble.search for ensemble in ensembles]
    for other in others:
        if not on_one_model(first, other):
            raise BadInputError(
                f"searches {first.name!r} and {other.name!r} are on different models "
                f"({first.model}, {other.model}); label with each in a call of its own"
            )
    return model_of(first)


def _predictions(
    texts: Sequence[Text], ensemble: Voting, answers: Answers, log_probs: Floats
) -> list[Prediction]:
    """What an ensemble's members, who say [N, B, L], answer together."""
    if not texts:
        return []
    vote, rule = ensemble.combination, ensemble.abstention
    decisions = vote.voted(answers, log_probs)
    support = vote.support(answers, log_probs, decisions)
    probabilities = vote.probabilities(answers, log_probs)
    sure = answers.probability(probabilities, decisions)
    reasons = [None if rule is None else rule.reason(float(own)) for own in sure]
    return [
        Prediction(
            text=as_text(text),
            label=None if reason else answers.told(decision, text),
            probability=None if np.isnan(own) else float(own),
            votes=float(votes),
            probabilities=answers.by_name(row, text),
            reason=reason,
        )
        for text, decision, own, votes, row, reason in zip(
            texts, decisions, sure, support, probabilities, reasons, strict=True
        )
    ]
