"""A worker's model, its scorers, and the texts of the search, ready for any plan."""

from collections.abc import Sequence

import torch

from autoprompt.search_spaces import AnyPlan
from autoprompt.search_spaces.registry import look_in
from autoprompt.workers.demonstrations import Pool, chosen, demonstrated
from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Work
from autoprompt.workers.scoring import Scorer, load_scorer
from autoprompt.workers.tuners import Examples
from autoprompt.workers.tuners.arrangement import pieces_of


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
        #: Those whose texts have been brought to their places in the cache.
        self._filled: set[str] = set()
        #: What demonstrations are chosen from.
        self._pool: Pool | None = None

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
        shown: list[int] = []
        if plan.rewords:
            template = plan.template and pieces_of(plan, plan.template, wording.columns).template
            wording = wording.reworded(template, plan.label_words)
        searched = getattr(plan, "searcher", None) == "demonstrations"
        if plan.demonstrations and not searched:
            train, names = self._job.train, scorer.task.answers.names
            self._pool = self._pool or Pool(scorer, train)
            shown = chosen(plan, self._pool)
            labelled = [(train.texts[place], names[train.labels[place]]) for place in shown]
            wording = demonstrated(wording, labelled)
        key = wording.model_dump_json()
        if key not in self._seats:
            own = scorer if wording == scorer.wording else scorer.reworded(wording)
            self._seats[key] = (own, self._examples(own, shown))
        own, examples = self._seats[key]
        if key not in self._filled and not shown and getattr(plan, "searcher", "") != "none":
            self._filled.add(key)
            # Validation first, and of it the texts that judge every rung.
            order = self._job.blocks.order
            first = [examples.validation[place] for place in order] or examples.validation
            own.prefill([*first, *examples.train], self._job.positions, self._job.kv)
        return own, examples

    def _examples(self, scorer: Scorer, shown: Sequence[int]) -> Examples:
        """The texts in a scorer's wording.

        Args:
            shown: places of train texts whose labels its template says, and from which nothing is
                to be learned.
        """
        job = self._job
        known = set(shown)
        left = [place for place in range(len(job.train)) if place not in known]
        return Examples(
            scorer.tokenize([job.train.texts[place] for place in left]),
            torch.tensor([job.train.labels[place] for place in left]),
            scorer.tokenize(job.validation.texts),
            torch.tensor(job.validation.labels),
            {name: Prompt.from_bytes(content) for name, content in job.earlier.items()},
            job.task.metric,
            job.blocks,
        )

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
