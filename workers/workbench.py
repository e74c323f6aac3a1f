"""A worker's model, its scorer, and the texts of the search, ready for any plan."""

import torch

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
        self._examples: Examples | None = None

    def open(self) -> tuple[Scorer, Examples]:
        """The scorer and the tokenized examples."""
        if self._scorer is None or self._examples is None:
            job = self._job
            scorer = load_scorer(job.model, job.task, job.longest_prompt, job.cache)
            self._loads += 1
            examples = Examples(
                scorer.tokenize(job.train.texts),
                torch.tensor(job.train.labels),
                scorer.tokenize(job.validation.texts),
                torch.tensor(job.validation.labels),
                {name: Prompt.from_bytes(content) for name, content in job.earlier.items()},
                job.task.metric,
            )
            scorer.prefill(examples.validation, job.positions)
            scorer.prefill(examples.train, job.positions)
            self._scorer, self._examples = scorer, examples
        return self._scorer, self._examples

    def work(self) -> Work:
        """What was done here so far."""
        if self._scorer is None:
            return Work(self._loads)
        cache = self._scorer.cache
        return Work(self._loads, cache.encoded, cache.read, cache.hits)

    @property
    def slower(self) -> str | None:
        """Why trials here take longer than they might."""
        return self._scorer.family.distrust if self._scorer else None

    @property
    def cache_bytes(self) -> int:
        return self._scorer.cache.bytes if self._scorer else 0
