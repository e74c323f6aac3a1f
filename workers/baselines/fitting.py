"""Baselines at work on a worker: fitted to the train texts, judged by the validation texts, and
asked about texts that nobody has seen."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from autoprompt.search_spaces import HardPlan
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spaces.registry import look_in
from autoprompt.workers.answers import Right
from autoprompt.workers.baselines.baseline import Baseline, Resources
from autoprompt.workers.baselines.kinds import BASELINES
from autoprompt.workers.baselines.trained import answered, train
from autoprompt.workers.class_weights import text_weights
from autoprompt.workers.device_errors import raise_if_device_broken
from autoprompt.workers.job import Job
from autoprompt.workers.rows import Text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.vote import Floats
from autoprompt.workers.workbench import Workbench

log = logging.getLogger(__name__)

#: Operations that cost little on any processor: seconds, or twenty of a slow one's only core.
_CHEAP = 1e12

#: Texts whose length stands for all.
_SAMPLE = 256


@dataclass(frozen=True)
class Fitted:
    """A baseline that was fitted, or why it could not be.

    Attributes:
        log_probs: [B, A], of the validation texts.
        loss: their mean, in nats.
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
) -> list[Fitted]:
    """Fit each to the train texts, and have it answer the validation texts.

    Args:
        names: of those that train no model.
        unseen: how many texts they will answer later.
        asked_for: those that are wanted whatever they cost.
        everything: whether they learn the validation texts too, once these have judged them.

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
                _demand_cheap(scorer, job, unseen)
            with threadpool_limits(torch.get_num_threads(), "blas"):
                fitted.append(_fitted(job, name, resources, everything))
        except Exception as error:  # a user's own may raise anything
            raise_if_device_broken(error)
            fitted.append(Fitted(name, time.perf_counter() - started, error=one_line(error)))
    return fitted


def _fitted(job: Job, name: str, resources: Resources, everything: bool) -> Fitted:
    made = BASELINES[name].made
    baseline: Baseline = made(resources)
    started, before = time.perf_counter(), resources.states.seconds
    if made.reads_states and not before:
        resources.states.keep([*job.train.texts, *job.validation.texts])
    learnt = baseline.fit(job.train.texts, job.train.labels)
    log_probs = baseline.log_probs(learnt.content, job.validation.texts)
    if everything:
        both = job.train.beside(job.validation)
        learnt = baseline.fit(both.texts, both.labels)
    seconds = time.perf_counter() - started + (before if made.reads_states else 0.0)
    return Fitted(
        name,
        seconds,
        learnt.settings,
        log_probs,
        _loss(resources.scorer, log_probs, job.validation.labels),
        len(learnt.content) + learnt.beside,
        learnt.content,
    )


def _demand_cheap(scorer: Scorer, job: Job, unseen: int) -> None:
    """Refuse to read the texts anew where that takes more than seconds.

    Raises:
        BadInputError: it does.
    """
    if scorer.model.device.type == "cuda":
        return
    some = scorer.tokenize(job.validation.texts[:_SAMPLE])
    tokens = sum(map(len, some)) / len(some)
    texts = len(job.validation) + unseen
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
    """Fitted baselines that answer texts, a window of them after another.

    Attributes:
        log_probs: [M, B, A], of all texts; no numbers of one that failed.
    """

    def __init__(
        self, scorer: Scorer, fitted: Sequence[tuple[str, bytes]], texts: Sequence[Text]
    ) -> None:
        """Nothing answered yet.

        Args:
            fitted: M names, and what was learnt.
            texts: B of them.
        """
        self._resources = Resources.of(scorer)
        self._texts = texts
        self._asked = [
            (name, BASELINES[name].made(self._resources), content) for name, content in fitted
        ]
        self.log_probs: Floats = np.full(
            (len(fitted), len(texts), self._resources.size), np.nan, dtype=np.float32
        )

    def hear(self, places: Sequence[int]) -> None:
        """Let all of them answer the texts at these places."""
        texts, states = [self._texts[place] for place in places], self._resources.states
        if any(baseline.reads_states for _, baseline, _ in self._asked):
            states.keep(texts, None)
        for row, (name, baseline, content) in enumerate(self._asked):
            try:
                with threadpool_limits(torch.get_num_threads(), "blas"):
                    self.log_probs[row, places] = baseline.log_probs(content, texts)
            except Exception as error:
                raise_if_device_broken(error)
                log.warning("baseline %s: %s", name, one_line(error))
        states.forget()


def one_line(error: BaseException) -> str:
    """What an error says, as one line."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def _loss(scorer: Scorer, log_probs: Floats, labels: Sequence[Right]) -> float:
    readout = scorer.task.readout
    return readout.loss(torch.tensor(log_probs), readout.targets(labels))
