"""A worker's model, its scorers, and the texts of the search, ready for any plan."""

import torch

from autoprompt.search_spaces import AnyPlan
from autoprompt.search_spaces.registry import look_in
from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Work
from autoprompt.workers.scoring import Scorer, load_scorer
from autoprompt.workers.tuners import Examples


class Workbench:
    """Made on first use; it outlives the trials that are carried out on it, so that after the first
    of them no model is loaded and no text encoded again."""

    def __init__(self, job: Job) -> None:
        self._job = job
        for folder in job.modules:
            look_in(folder)
        self._loads = 0
        self._scorer: Scorer | None = None
        #: By their wording: what asks in it, and the texts asked so, as tokens.
        self._seats: dict[str, tuple[Scorer, Examples]] = {}

    def open(self) -> Scorer:
        """The scorer of the task's own wording."""
        if self._scorer is None:
            job = self._job
            self._scorer = load_scorer(job.model, job.task, job.longest_prompt, job.cache)
            self._loads += 1
        return self._scorer

    def clear(self) -> None:
        """Make ready for other trials, which come out the same whichever were carried out here
        before: on a worker that has just started, too."""
        if self._scorer is not None:
            self._scorer.cache.forget()

    def seat(self, plan: AnyPlan) -> tuple[Scorer, Examples]:
        """The scorer and the tokenized examples in a plan's wording.

        Raises:
            BadInputError: the wording does not suit the model, the labels or the data.
        """
        scorer = self.open()
        wording = scorer.wording
        if plan.rewords:
            wording = wording.reworded(plan.template, plan.label_words)
        key = wording.model_dump_json()
        if key not in self._seats:
            own = scorer if wording == scorer.wording else scorer.reworded(wording)
            self._seats[key] = (own, self._examples(own))
        return self._seats[key]

    def _examples(self, scorer: Scorer) -> Examples:
        job = self._job
        examples = Examples(
            scorer.tokenize(job.train.texts),
            torch.tensor(job.train.labels),
            scorer.tokenize(job.validation.texts),
            torch.tensor(job.validation.labels),
            {name: Prompt.from_bytes(content) for name, content in job.earlier.items()},
            job.task.metric,
            job.blocks,
        )
        # Validation first, and of it the texts that judge every rung.
        first = [examples.validation[place] for place in job.blocks.order] or examples.validation
        scorer.prefill([*first, *examples.train], job.positions)
        return examples

    def work(self) -> Work:
        """What was done here so far."""
        if self._scorer is None:
            return Work(self._loads)
        cache = self._scorer.cache
        return Work(self._loads, cache.encoded, cache.read, cache.hits)

    @property
    def slower(self) -> str | None:
        """Why trials here take longer than they might."""
        reasons = (scorer.family.distrust for scorer, _ in self._seats.values())
        return next(filter(None, reasons), None)

    @property
    def cache_bytes(self) -> int:
        return self._scorer.cache.bytes if self._scorer else 0
