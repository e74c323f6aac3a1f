"""A worker's model, its scorers, and the texts of the search, ready for any plan."""

from collections.abc import Sequence
from typing import TypeVar

from autoprompt.search_spaces import AnyPlan
from autoprompt.search_spaces.registry import look_in
from autoprompt.workers.class_weights import text_weights
from autoprompt.workers.demonstrations import Pool, chosen, demonstrated
from autoprompt.workers.job import Job
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.prompt_tokens import tokens_beside
from autoprompt.workers.report import Work
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Seat
from autoprompt.workers.tuners.arrangement import pieces_of

R = TypeVar("R")


def in_order_of_use(job: Job, validation: Sequence[R], train: Sequence[R]) -> list[R]:
    """The texts of a job, those that are used most first: validation, and of it the texts that
    judge every rung."""
    return [*([validation[place] for place in job.blocks.order] or validation), *train]


class Workbench:
    """Made on first use; it outlives the trials that are carried out on it, so that after the first
    of them no model is loaded and no text encoded again."""

    def __init__(self, job: Job) -> None:
        self._job = job
        for folder in job.modules:
            look_in(folder)
        self._loads = 0
        self._scorer: Scorer | None = None
        #: By their wording: what asks in it, and all texts asked so, as tokens.
        self._seats: dict[str, tuple[Scorer, Examples]] = {}
        #: What plans may see of them, by the wording and the fold that is left out.
        self._parts: dict[tuple[str, int | None], Examples] = {}
        #: Those whose texts have been brought to their places in the cache.
        self._filled: set[str] = set()
        #: What demonstrations are chosen from, by the fold that is left out.
        self._pools: dict[int | None, Pool] = {}

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

    def seat(self, plan: AnyPlan, fold: int | None = None) -> Seat:
        """The scorer and the tokenized examples in a plan's wording.

        Args:
            fold: of the job's, which it leaves out.

        Raises:
            BadInputError: the wording does not suit the model, the labels or the data.
        """
        scorer = self.open()
        wording = scorer.wording
        learnt, shown = self._learnt(fold), list[int]()
        if plan.rewords:
            template = plan.template and pieces_of(plan, plan.template, wording.columns).template
            wording = wording.reworded(template, plan.label_words)
        searched = getattr(plan, "searcher", None) == "demonstrations"
        if plan.demonstrations and not searched:
            train = self._job.train
            if fold not in self._pools:
                self._pools[fold] = Pool(scorer, train.at(learnt))
            shown = [learnt[place] for place in chosen(plan, self._pools[fold])]
            labelled = [(train.texts[place], train.labels[place]) for place in shown]
            wording = demonstrated(wording, labelled)
        key = wording.model_dump_json()
        if key not in self._seats:
            own = scorer if wording == scorer.wording else scorer.reworded(wording)
            self._seats[key] = (own, self._examples(own))
        own, examples = self._seats[key]
        if (key, fold) not in self._parts:
            self._parts[key, fold] = self._part(examples, learnt, shown, fold)
        if key not in self._filled and not shown and getattr(plan, "searcher", "") != "none":
            self._filled.add(key)
            texts = in_order_of_use(self._job, examples.validation, examples.train)
            own.prefill(texts, self._job.positions, self._job.kv)
        return Seat(own, examples, self._parts[key, fold])

    def _learnt(self, fold: int | None) -> list[int]:
        """Places of the train texts that are not of a fold."""
        left_out = set(() if fold is None else self._job.folds[fold])
        return [place for place in range(len(self._job.train)) if place not in left_out]

    def _part(
        self, examples: Examples, learnt: Sequence[int], shown: Sequence[int], fold: int | None
    ) -> Examples:
        """What a plan may see.

        Args:
            shown: places of train texts whose labels its template says, and from which nothing is
                to be learned.
        """
        if fold is None and not shown:
            return examples
        known = set(shown)
        left = [place for place in learnt if place not in known]
        # A prompt that learns everything is judged by all of it, which says nothing of others.
        judging = None if fold is None else self._job.folds[fold] or learnt
        return examples.part(left, judging)

    def _examples(self, scorer: Scorer) -> Examples:
        """All texts in a scorer's wording."""
        job, task = self._job, scorer.task
        learnt, judging = job.train.labels, job.validation.labels
        return Examples(
            scorer.tokenize(job.train.texts, learnt),
            task.readout.targets(learnt),
            scorer.tokenize(job.validation.texts, judging),
            task.readout.targets(judging),
            {name: Prompt.from_bytes(content) for name, content in job.earlier.items()},
            job.task.metric,
            job.blocks,
            writer=job.writer,
            right=(task.answers.right(learnt), task.answers.right(judging)),
            weights=text_weights(job, task),
            spoken=list(map(task.answers.spoken, learnt, job.train.texts)),
        )

    def tokens_beside(self, prompt: Prompt) -> int:
        """What a prompt of a plan that was carried out here costs each text."""
        scorer = self.open()
        wording = prompt.wording or scorer.wording
        known = self._seats.get(wording.model_dump_json())
        task = known[0].task if known else scorer.reworded(wording).task
        return tokens_beside(prompt, task)

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
