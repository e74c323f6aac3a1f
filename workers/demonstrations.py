"""Demonstrations: labelled train texts that are shown before each text (in-context learning, Brown
et al. 2020). They become words of the template before everything else, the same for all texts, so
what the model makes of them is computed once."""

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autoprompt.search_spaces import AnyPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.answers import Right, answers_of
from autoprompt.workers.data import Split
from autoprompt.workers.rows import Text, as_text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.template import MASK
from autoprompt.workers.text_states import KeysAndValues, Passage
from autoprompt.workers.wording import Wording

#: What stands between two of them.
_BETWEEN = "\n\n"

#: Train texts of each label among which the central ones are looked for.
_LOOKED_AT = 64

#: And read together.
_AT_A_TIME = 16


def chosen(plan: AnyPlan, pool: "Pool") -> list[int]:
    """The places of a plan's demonstrations among the train texts, in their order: as many of each
    label as may be, and no label twice in a row where that can be.

    Raises:
        BadInputError: the train split has too few texts, or the model keeps nothing of a text by
            which the central ones could be found.
    """
    count, texts = plan.demonstrations, len(pool.train)
    if count > texts - plan.batch_size:
        raise BadInputError(
            f"{count} demonstrations and a batch of {plan.batch_size} are more than the "
            f"{texts} train texts; show fewer"
        )
    drawn = random.Random(plan.seed)
    waiting = {
        label: list(own)
        for label, own in (pool.central if plan.choose == "central" else pool.by_label).items()
    }
    if plan.choose == "random":
        for own in waiting.values():
            drawn.shuffle(own)
    labels = sorted(waiting)
    drawn.shuffle(labels)
    found: list[int] = []
    turn = 0
    while len(found) < count and any(waiting.values()):
        own = waiting[labels[turn % len(labels)]]
        if own:
            found.append(own.pop(0))
        turn += 1
    return found


class Pool:
    """The train texts that may be shown, and which of them are central.

    Attributes:
        train: all of the train texts.
    """

    def __init__(self, scorer: Scorer, train: Split) -> None:
        self._scorer = scorer
        self.train = train

    @cached_property
    def by_label(self) -> dict[Any, list[int]]:
        """The places of each label's texts, or of what else divides them."""
        found: dict[Any, list[int]] = defaultdict(list)
        answers = self._scorer.task.answers
        for place, right in enumerate(self.train.labels):
            if fits(self.train.texts[place], self._scorer.wording.columns or ()):
                found[answers.stratum(right)].append(place)
        return dict(found)

    @cached_property
    def central(self) -> dict[Any, list[int]]:
        """The places of each label's texts by how near their states are to the label's mean, the
        nearest first, of the first few of each label.

        Raises:
            BadInputError: the model keeps nothing of a text.
        """
        found = {}
        for label, own in self.by_label.items():
            places = own[:_LOOKED_AT]
            vectors = text_vectors([self.train.texts[place] for place in places], self._scorer)
            mean = vectors.mean(0, keepdim=True)
            near = torch.nn.functional.cosine_similarity(vectors, mean)
            order = near.argsort(descending=True, stable=True).tolist()
            found[label] = [places[index] for index in order]
        return found


def fits(text: Text, columns: Sequence[str]) -> bool:
    """Whether a text may be part of a template: nothing in it reads as a column."""
    written = as_text(text)
    return not any(f"{{{name}}}" in written for name in (*columns, MASK.strip("{}")))


@torch.no_grad()
def text_vectors(texts: Sequence[Text], scorer: Scorer) -> Tensor:
    """[B, F], what the model keeps of each text, averaged over its tokens: the last layer's values,
    or an encoder's output.

    Raises:
        BadInputError: it keeps nothing.
    """
    if not scorer.model.may_reuse_text:
        raise BadInputError(
            "central demonstrations are found by the hidden states of texts, which this model does "
            "not keep; choose them at random"
        )
    # Read anew, a few at a time and in this order: what the cache holds may differ in last bits
    # with what was read before.
    states, vectors = scorer.cache.states, []
    tokens = scorer.tokenize(texts)
    for start in range(0, len(tokens), _AT_A_TIME):
        passages = [Passage(ids) for ids in tokens[start : start + _AT_A_TIME]]
        for passage, row in zip(passages, states.encode(passages), strict=True):
            own = row[: passage.length].mean(0)
            if isinstance(states, KeysAndValues):
                own = own[-states.widths[-1] :]
            vectors.append(own)
    return torch.stack(vectors).float().cpu()


def demonstrated(wording: Wording, shown: Sequence[tuple[Text, Right]]) -> Wording:
    """A wording whose template begins with labelled texts.

    Args:
        shown: texts and their right answers.
    """
    template, answers = wording.parsed_template, answers_of(wording)
    written = [
        template.answered(template.filled(text), answers.spoken(right, text))
        for text, right in shown
    ]
    return wording.reworded(_BETWEEN.join([*written, wording.template]), None)
