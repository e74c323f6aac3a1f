"""Plans carried out in this very process, one task after another: for a debugger, a notebook, a
first try. Ray is never started, and nothing stands between a trial and its traceback."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from autoprompt.controller.dispatch import Dispatch, Task
from autoprompt.controller.executor import Executor
from autoprompt.controller.interruption import Interruption
from autoprompt.progress import SearchProgress
from autoprompt.workers.job import Job
from autoprompt.workers.plan_worker import PlanWorker, Worker
from autoprompt.workers.rows import Text
from autoprompt.workers.score_texts import score_texts
from autoprompt.workers.torch_threads import torch_threads
from autoprompt.workers.vote import Floats

R = TypeVar("R")


class InProcessExecutor(Executor):
    """One worker, which is this process. A trial that hangs hangs the search.

    Args:
        threads: as many as a worker on a cluster would have cores.
        make_worker: what carries out the plans of a job.
    """

    workers = 1

    def __init__(
        self,
        threads: int,
        progress: SearchProgress,
        make_worker: Callable[[Job], Worker] = PlanWorker,
    ) -> None:
        self.gpus = float(torch.cuda.is_available())
        self._threads = threads
        self._progress = progress
        self._make_worker = make_worker

    def run(self, dispatch: Dispatch, job: Job, name: str) -> bool:
        interruption = Interruption(self._progress)
        with torch_threads(self._threads), interruption.listening():
            worker = self._make_worker(job)
            try:
                while not interruption.requested and (task := dispatch.next()) is not None:
                    _carry_out(task, worker, dispatch, interruption)
            except KeyboardInterrupt:
                if not interruption.requested:
                    raise
        dispatch.look(last=True)
        return not interruption.requested

    def on_worker(self, function: Callable[..., R], *arguments: Any) -> R:
        with torch_threads(self._threads):
            return function(*arguments)

    def on_workers(
        self, function: Callable[..., Iterator[R]], calls: Sequence[Sequence[Any]]
    ) -> Iterator[R]:
        with torch_threads(self._threads):
            for arguments in calls:
                yield from function(*arguments)

    def score_texts(
        self,
        job: Job,
        prompts: Sequence[bytes],
        texts: Sequence[Text],
        baselines: Sequence[tuple[str, bytes]] = (),
    ) -> Floats:
        with torch_threads(self._threads):
            return score_texts(job, prompts, texts, baselines).numpy()


def _carry_out(task: Task, worker: Worker, dispatch: Dispatch, interruption: Interruption) -> None:
    dispatch.began(task)
    worker.begin(task.trials)
    while task.trials and not interruption.requested:
        with interruption.computing():
            step = worker.advance()
        change = dispatch.reported(task, step)
        worker.drop(change.over)
        worker.add(change.begun)
        dispatch.look()
