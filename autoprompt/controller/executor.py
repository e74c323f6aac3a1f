"""What carries out plans: workers on a Ray cluster, or this process itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from autoprompt.controller.dispatch import Dispatch, Watcher
from autoprompt.store import SearchRecord, Store
from autoprompt.workers.job import Job
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats

R = TypeVar("R")


class Executor(ABC):
    """Runs what a dispatch hands out.

    Attributes:
        workers: how many tasks run at a time.
        gpus: that each of them is given, or a part of one; 0 computes on the CPU.
        dashboard: URL where it can be watched, if it can.
    """

    workers: int
    gpus: float = 0.0
    dashboard: str | None = None

    def watchers(self, store: Store, search: SearchRecord) -> list[Watcher]:
        """Who is to know of a search's run, where this executor offers to show it."""
        return []

    @abstractmethod
    def run(self, dispatch: Dispatch, job: Job, name: str) -> bool:
        """Carry out all tasks; False where that was interrupted.

        Args:
            name: of the run, in this executor's own words.

        Raises:
            AutopromptError: what kept the dispatch from writing down what happened.
        """

    @abstractmethod
    def on_worker(self, function: Callable[..., R], *arguments: Any) -> R:
        """What a function makes of a job on one worker, set up as trials' workers are.

        Raises:
            AutopromptError: as the function.
        """

    @abstractmethod
    def on_workers(
        self, function: Callable[..., Iterator[R]], calls: Sequence[Sequence[Any]]
    ) -> Iterator[R]:
        """What a function yields of each call's arguments, as it comes: as many calls at a time as
        there are workers, in no order that means anything.

        Raises:
            AutopromptError: as the function.
        """

    @abstractmethod
    def score_texts(
        self,
        job: Job,
        prompts: Sequence[bytes],
        texts: Sequence[Text],
        baselines: Sequence[tuple[str, bytes]] = (),
    ) -> Floats:
        """The labels' log-probabilities for every prompt beside every text, and those of baselines,
        [N + M, B, L]; no numbers of a baseline that failed.

        Args:
            prompts: N, as safetensors; where there are baselines, the template alone among them.
            baselines: M names, and what was learnt.
        """
