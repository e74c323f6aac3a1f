"""Prompts and baselines that are asked about the same texts, each once."""

from collections.abc import Mapping, Sequence

import numpy as np

from autoprompt.store import BaselineRecord, Candidate
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.baselines.fitting import demand_answers
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.vote import Floats


class AskedTogether:
    """The template alone, members, and what stands beside them.

    Attributes:
        prompts: N distinct ones, as safetensors: the best one usually votes too, and the template
            alone is a baseline.
        fitted: M baselines beside the frozen model: their names, and what was learnt.
    """

    def __init__(self, members: Sequence[Candidate], baselines: Sequence[BaselineRecord]) -> None:
        """What is asked.

        Args:
            members: prompts, and of the baselines those that vote.
            baselines: those that failed answer nothing.
        """
        self._members, self._baselines = members, baselines
        self._alone = Prompt("").to_bytes()
        self._asked, self.fitted, self.trained = (
            [
                (record.name, record.content)
                for record in baselines
                if record.content is not None and BASELINES[record.name].does == does
            ]
            for does in ("ask", "fit", "train")
        )
        contents = [one.content for one in members if one.baseline is None]
        contents += [content for _, content in self._asked]
        self.prompts = list(dict.fromkeys([self._alone, *contents]))

    def told(
        self, log_probs: Floats, trained: Mapping[str, Floats]
    ) -> tuple[Floats, list[Floats | None]]:
        """What each says: [1 + members, B, A], the template alone first; and of each baseline
        [B, A], None of one that answers nothing.

        Args:
            log_probs: [N + M, B, A].
            trained: of baselines with a model of their own, [B, A].

        Raises:
            AutopromptError: a baseline votes and failed.
        """
        place = {content: number for number, content in enumerate(self.prompts)}
        beside = log_probs[len(self.prompts) :]
        found = {
            **{name: log_probs[place[content]] for name, content in self._asked},
            **{name: own for (name, _), own in zip(self.fitted, beside, strict=True)},
            **trained,
        }
        voting = [member.baseline for member in self._members if member.baseline is not None]
        demand_answers(voting, [found[name] for name in voting])
        said = [
            log_probs[place[member.content]] if member.baseline is None else found[member.baseline]
            for member in self._members
        ]
        alone = log_probs[place[self._alone]]
        return np.stack([alone, *said]), [found.get(one.name) for one in self._baselines]
