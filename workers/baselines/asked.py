"""Baselines that are prompts, with nothing searched: the template alone, the same with what the
model says anyway taken off, and a few labelled texts before it."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.baselines.baseline import Baseline, Learnt
from autoprompt.workers.data import Split
from autoprompt.workers.demonstrations import Pool, chosen, demonstrated
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples
from autoprompt.workers.tuners.calibration import calibrated
from autoprompt.workers.vote import Floats

#: Labelled texts that are shown, and what part of the texts may be cut for them.
_SHOWN, _CUT = 4, 0.05


class _Asked(Baseline):
    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        scorer, prompt = self.resources.scorer, Prompt.from_bytes(content)
        own = scorer
        if prompt.wording is not None and prompt.wording != scorer.wording:
            own = scorer.reworded(prompt.wording)
        found = own.log_probs([prompt], own.tokenize(texts), once=own is not scorer)
        scores: Floats = found[0].numpy()
        return scores


class Template(_Asked):
    """The template without a prompt: zero-shot."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        return Learnt(Prompt("").to_bytes())


class Calibrated(_Asked):
    """The same, and off it what the model says of the train texts on the whole (Zhou et al. 2023,
    "Batch Calibration")."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        scorer, none = self.resources.scorer, torch.empty(0, dtype=torch.long)
        targets = scorer.task.readout.targets(labels)
        examples = Examples(scorer.tokenize(texts), targets, [], none)
        prompt = calibrated(Prompt(""), "batch", scorer, examples)
        return Learnt(prompt.to_bytes(), {"calibration": "batch"})


class Demonstrations(_Asked):
    """A few labelled train texts before the template: in-context learning (Brown et al. 2020)."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        """Texts of as many labels as may be, drawn at random.

        Raises:
            BadInputError: the model's context does not hold them beside the texts.
        """
        scorer = self.resources.scorer
        plan = HardPlan(
            seed=self.resources.seed, searcher="none", demonstrations=_SHOWN, batch_size=1
        )
        places = chosen(plan, Pool(scorer, Split(tuple(texts), tuple(labels))))
        labelled = [(texts[place], labels[place]) for place in places]
        wording = demonstrated(scorer.wording, labelled)
        own = scorer.reworded(wording)
        cut = _cut(own, texts) - _cut(scorer, texts)
        if cut > _CUT * len(texts):
            raise BadInputError(
                f"behind {len(places)} labelled texts {cut} of {len(texts)} more would be cut to "
                "fit the model's context"
            )
        prompt = replace(Prompt(""), wording=wording, reworded=True)
        return Learnt(prompt.to_bytes(), {"shown": len(places)})


def _cut(scorer: Scorer, texts: Sequence[Text]) -> int:
    """How many texts a scorer cuts."""
    before = scorer.truncated
    scorer.tokenize(texts)
    return scorer.truncated - before
