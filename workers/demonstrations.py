"""Demonstrations: labelled train texts that are shown before each text (in-context learning, Brown
et al. 2020). They become words of the template before everything else, the same for all texts, so
what the model makes of them is computed once."""

import random
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from autoprompt.search_spaces import AnyPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.data import Split
from autoprompt.workers.families.causal import CausalFamily
from autoprompt.workers.rows import Text, as_text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.template import MASK, Template
from autoprompt.workers.wording import Wording

#: What stands between two of them.
_BETWEEN = "\n\n"

#: Train texts of each label among which the central ones are looked for.
_LOOKED_AT = 64


def chosen(plan: AnyPlan, scorer: Scorer, train: Split, seed: int) -> list[int]:
    """The places of a plan's demonstrations among the train texts, in their order: as many of each
    label as may be, and no label twice in a row where that can be.

    Raises:
        BadInputError: the train split has too few texts, or the model keeps nothing of a text by
            which the central ones could be found.
    """
    count = plan.demonstrations
    if count > len(train) - plan.batch_size:
        raise BadInputError(
            f"{count} demonstrations and a batch of {plan.batch_size} are more than the "
            f"{len(train)} train texts; show fewer"
        )
    drawn = random.Random(seed)
    waiting: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(train.labels):
        if fits(train.texts[place], scorer.wording.columns or ()):
            waiting[label].append(place)
    for own in waiting.values():
        drawn.shuffle(own)
    if plan.choose == "central":
        waiting = {
            label: _central(own[:_LOOKED_AT], train, scorer) for label, own in waiting.items()
        }
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


def fits(text: Text, columns: Sequence[str]) -> bool:
    """Whether a text may be part of a template: nothing in it reads as a column."""
    written = as_text(text)
    return not any(f"{{{name}}}" in written for name in (*columns, MASK.strip("{}")))


def _central(places: list[int], train: Split, scorer: Scorer) -> list[int]:
    """The places by how near their texts' states are to the mean, the nearest first."""
    if not places:
        return places
    states = text_vectors([train.texts[place] for place in places], scorer)
    near = torch.nn.functional.cosine_similarity(states, states.mean(0, keepdim=True))
    order = near.argsort(descending=True, stable=True).tolist()
    return [places[index] for index in order]


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
    family = scorer.family
    vectors = []
    for text in scorer.tokenize(texts):
        cached = scorer.cache.batch(family.keys([], [text]))
        if isinstance(family, CausalFamily):
            _, values = cached.states[-1]
            vectors.append(values[0].mean(1).flatten())
        else:
            vectors.append(cached.states[0].mean(0))
    return torch.stack(vectors).float().cpu()


def demonstrated(wording: Wording, shown: Sequence[tuple[Text, str]]) -> Wording:
    """A wording whose template begins with labelled texts.

    Args:
        shown: texts and their labels.
    """
    template = wording.parsed_template
    written = [_written(template, text, wording.label_words[label][0]) for text, label in shown]
    return wording.reworded(_BETWEEN.join([*written, wording.template]), None)


def _written(template: Template, text: Text, word: str) -> str:
    """A text in the template, with the answer in it."""
    if MASK in template.head or MASK in template.tail:
        template = template.with_mask(word)
        return template.filled(text) + template.tail
    joint = "" if template.tail[-1:].isspace() else " "
    return template.filled(text) + template.tail + joint + word
