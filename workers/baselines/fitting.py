"""Baselines at work on a worker: fitted to the train texts, judged by the validation texts, and
asked about texts that nobody has seen."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import AutopromptError, BadInputError
from autoprompt.search_spaces.registry import look_in
from autoprompt.workers.answers import Right
from autoprompt.workers.baselines.baseline import Baseline, Resources
from autoprompt.workers.baselines.kinds import BASELINES
from autoprompt.workers.baselines.trained import answered, train
from autoprompt.workers.batches import windows
from autoprompt.workers.class_weights import text_weights
from autoprompt.workers.data import Split
from autoprompt.workers.device_errors import raise_if_device_broken
from autoprompt.workers.job import Job
from autoprompt.workers.rows import Text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.vote import Floats, pooled
from autoprompt.workers.workbench import Workbench

log = logging.getLogger(__name__)

#: Places of labelled texts, train texts first, by fold: each of them stands in one.
Division = Sequence[Sequence[int]]

#: Operations that cost little on any processor: seconds, or twenty of a slow one's only core.
_CHEAP = 1e12

#: Texts whose length stands for all.
_SAMPLE = 256


@dataclass(frozen=True)
class Fitted:
    """A baseline that was fitted, or why it could not be.

    Attributes:
        log_probs: [B, A], of the validation texts; or of all labelled texts, these last, each by
            one that did not learn it.
        loss: the mean of the validation texts', in nats.
        seconds: of work by itself, a pass over the texts that it shares with others included.
        shipped_bytes: what must be shipped beside the frozen model, or in its place.
        content: what it has learnt; None of a model of its own.
        unseen: [B, A], of further texts, of a model of its own.
        error: in one line.
    """

    name: str
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    log_probs: Floats | None = None
    loss: float | None = None
    shipped_bytes: int | None = None
    content: bytes | None = None
    unseen: Floats | None = None
    error: str | None = None


def fit_baselines(
    job: Job,
    names: Sequence[str],
    seed: int,
    unseen: int = 0,
    asked_for: Sequence[str] = (),
    everything: bool = False,
    divisions: Sequence[Division] = (),
) -> list[Fitted]:
    """Fit each to the train texts, and have it answer the validation texts; or once a fold, to all
    labelled texts but that fold, which it answers.

    Args:
        names: of those that train no model.
        unseen: how many texts they will answer later.
        asked_for: those that are wanted whatever they cost.
        everything: whether they learn the validation texts too, once these have judged them.
        divisions: of all labelled texts, into the folds that judge them; without any, the
            validation texts do.

    Raises:
        ModelError: the model cannot be loaded.
        DeviceBrokenError: nothing goes on in this process.
    """
    bench = Workbench(job)
    scorer = bench.open()
    # As a trial's worker has them: found in files where these are, and each computed once.
    bench.seat(HardPlan(seed=0))
    resources = Resources.of(scorer, seed)
    fitted = []
    for name in names:
        started = time.perf_counter()
        try:
            if name == "demonstrations" and name not in asked_for:
                judging = len(job.train) + len(job.validation) if divisions else len(job.validation)
                _demand_cheap(scorer, job, judging * max(1, len(divisions)) + unseen)
            with threadpool_limits(torch.get_num_threads(), "blas"):
                fitted.append(_fitted(job, name, resources, everything, divisions))
        except Exception as error:  # a user's own may raise anything
            raise_if_device_broken(error)
            fitted.append(Fitted(name, time.perf_counter() - started, error=one_line(error)))
    return fitted


def _fitted(
    job: Job,
    name: str,
    resources: Resources,
    everything: bool,
    divisions: Sequence[Division],
) -> Fitted:
    made = BASELINES[name].made
    baseline: Baseline = made(resources)
    started, before = time.perf_counter(), resources.states.seconds
    if made.reads_states and not before:
        resources.states.keep([*job.train.texts, *job.validation.texts])
    both = job.train.beside(job.validation)
    if divisions:
        said = np.stack([_left_out(baseline, both, own) for own in divisions])
        log_probs = pooled(said).astype(np.float32)
    else:
        learnt = baseline.fit(job.train.texts, job.train.labels)
        log_probs = baseline.log_probs(learnt.content, job.validation.texts)
    if everything:
        learnt = baseline.fit(both.texts, both.labels)
    seconds = time.perf_counter() - started + (before if made.reads_states else 0.0)
    return Fitted(
        name,
        seconds,
        learnt.settings,
        log_probs,
        _loss(resources.scorer, log_probs[-len(job.validation) :], job.validation.labels),
        len(learnt.content) + learnt.beside,
        learnt.content,
    )


def _left_out(baseline: Baseline, labelled: Split, division: Division) -> Floats:
    """[B, A], what a baseline says of B labelled texts, of each fold by one that did not learn
    it."""
    said = np.empty((len(labelled), baseline.resources.size), dtype=np.float32)
    for fold in division:
        left_out = set(fold)
        learnt = labelled.at([at for at in range(len(labelled)) if at not in left_out])
        content = baseline.fit(learnt.texts, learnt.labels).content
        said[list(fold)] = baseline.log_probs(content, labelled.at(fold).texts)
    return said


def _demand_cheap(scorer: Scorer, job: Job, texts: int) -> None:
    """Refuse to read so many texts anew where that takes more than seconds.

    Raises:
        BadInputError: it does.
    """
    if scorer.model.device.type == "cuda":
        return
    some = scorer.tokenize(job.validation.texts[:_SAMPLE])
    tokens = sum(map(len, some)) / len(some)
    if 2 * scorer.model.model.num_parameters() * tokens * texts > _CHEAP:
        raise BadInputError(
            f"left out, as {texts} texts would have to be read anew, which takes a while without a "
            "GPU; name it in baselines to have it"
        )


def train_baseline(job: Job, name: str, rate: float, seed: int, texts: Sequence[Text]) -> Fitted:
    """Train a model with one learning rate, and have it answer the validation texts and others.

    Args:
        texts: these others.

    Raises:
        Exception: whatever training may raise, such as that memory runs out.
    """
    for folder in job.modules:
        look_in(folder)
    started = time.perf_counter()
    kind = BASELINES[name].trained()
    scorer = load_scorer(kind.model(job.model), job.task, job.longest_prompt)
    torch.manual_seed(seed)  # LoRA draws what it starts from
    trained = kind.unfrozen(scorer.model)
    train(scorer, trained, job.train, rate, seed, text_weights(job, scorer.task))
    log_probs = answered(scorer, job.validation.texts).numpy()
    seconds = time.perf_counter() - started
    return Fitted(
        name,
        seconds,
        {"learning_rate": rate},
        log_probs,
        _loss(scorer, log_probs, job.validation.labels),
        kind.shipped_bytes(trained, scorer.model),
        unseen=answered(scorer, texts).numpy(),
    )


class Answering:
    """Fitted baselines that answer texts."""

    def __init__(self, scorer: Scorer, fitted: Sequence[tuple[str, bytes]]) -> None:
        """With what they have learnt.

        Args:
            fitted: M names, and what was learnt.
        """
        self._resources = Resources.of(scorer)
        self._asked = [
            (name, BASELINES[name].made(self._resources), content) for name, content in fitted
        ]

    def log_probs(self, texts: Sequence[Text]) -> Floats:
        """[M, B, A], of a window of texts; no numbers of one that failed."""
        states = self._resources.states
        said = np.full(
            (len(self._asked), len(texts), self._resources.size), np.nan, dtype=np.float32
        )
        if any(baseline.reads_states for _, baseline, _ in self._asked):
            states.keep(texts, None)
        for row, (name, baseline, content) in enumerate(self._asked):
            try:
                with threadpool_limits(torch.get_num_threads(), "blas"):
                    said[row] = baseline.log_probs(content, texts)
            except Exception as error:
                raise_if_device_broken(error)
                log.warning("baseline %s: %s", name, one_line(error))
        states.forget()
        return said

    def vote(self, texts: Sequence[Text]) -> Floats:
        """[M, B, A], of texts that nothing else reads, by baselines that all have to answer.

        Raises:
            AutopromptError: one of them does not.
        """
        scorer = self._resources.scorer
        said = np.empty((len(self._asked), len(texts), self._resources.size), dtype=np.float32)
        for window in windows(texts):
            said[:, window] = self.log_probs([texts[place] for place in window])
            scorer.cache.forget()
        demand_answers([name for name, _, _ in self._asked], said)
        return said


def demand_answers(names: Sequence[str], log_probs: Sequence[Floats] | Floats) -> None:
    """See that baselines that vote have answered.

    Args:
        log_probs: [M, B, A].

    Raises:
        AutopromptError: one of them gave no numbers.
    """
    for name, said in zip(names, log_probs, strict=True):
        if not np.isfinite(said).all():
            raise AutopromptError(
                f"baseline {name} votes, and its answers to these texts are no numbers; the "
                "warnings say why, and a search with ensemble.members: prompts does without it"
            )


def one_line(error: BaseException) -> str:
    """What an error says, as one line."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def _loss(scorer: Scorer, log_probs: Floats, labels: Sequence[Right]) -> float | None:
    """None of what is written, and not scored."""
    readout = scorer.task.readout
    loss = readout.loss(torch.tensor(log_probs), readout.targets(labels))
    return None if math.isnan(loss) else loss
