"""A dispatch as Ray Tune sees it: its searcher, its scheduler, and a callback."""

from typing import TYPE_CHECKING, Any

from ray.tune import Callback, PlacementGroupFactory
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from autoprompt.controller.callbacks.watchdog import Watchdog
from autoprompt.controller.dispatch import Dispatch, Task
from autoprompt.controller.ray_internals import actor_of, cause_of_death, forget, forgive

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class TuneSearcher(Searcher):
    """Hands Tune the dispatch's tasks, as the configs of its trials.

    Attributes:
        tasks: those that have not ended, by Tune's ids.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        super().__init__(metric="score", mode="max")
        self._dispatch = dispatch
        self.tasks: dict[str, Task] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        task = self._dispatch.next()
        if task is None:
            return str(Searcher.FINISHED)
        self.tasks[trial_id] = task
        return {"trials": task.trials}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the callback is told later, and why."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts into its scratch folder, and the trials table is the one
        record of a search."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, likewise."""


class TuneScheduler(FIFOScheduler):
    """Hands the dispatch every step of a worker; the trial's config holds what is under way, so
    that after a worker's death that begins again, and nothing else."""

    def __init__(self, dispatch: Dispatch, searcher: TuneSearcher) -> None:
        super().__init__()
        self._dispatch = dispatch
        self._tasks = searcher.tasks

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, likewise."""
        return {}

    def on_trial_result(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> str:
        task, step = self._tasks[trial.trial_id], result["step"]
        change = self._dispatch.reported(task, step)
        step.reports.clear()  # stored: Tune keeps the last result of every trial
        # In place: Tune holds the same list in several places, for as long as the run goes on.
        trial.config["trials"][:] = task.trials
        if not task.trials:
            return str(TrialScheduler.STOP)
        actor: Any = actor_of(trial)
        # Before the worker's next step: Ray carries out an actor's calls in their order.
        if change.over:
            forgive(trial)
            actor.drop.remote(change.over)
        if change.begun:
            actor.add.remote(change.begun)
        return str(TrialScheduler.CONTINUE)


class TuneCallback(Callback):
    """Tells the dispatch which workers began, died, and were given up."""

    def __init__(self, dispatch: Dispatch, searcher: TuneSearcher, watchdog: Watchdog) -> None:
        self._dispatch = dispatch
        self._tasks = searcher.tasks
        self._watchdog = watchdog
        self._needs: PlacementGroupFactory | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks into its scratch folder, which no one reads."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._dispatch.began(self._tasks[trial.trial_id])

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker died, and Tune is about to try again what was under way on it."""
        self._dispatch.died(self._tasks[trial.trial_id], cause_of_death(trial), again=True)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The worker died once too often, or was killed because it hung."""
        task, cause = self._tasks.pop(trial.trial_id), cause_of_death(trial)
        hung = self._watchdog.hung.pop(trial.trial_id, None)
        if hung:
            self._dispatch.give_up(task, hung, cause)
        else:
            self._dispatch.died(task, cause, again=False)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._tasks.pop(trial.trial_id, None)
        self._needs = self._needs or trial.placement_group_factory
        forget(trial, self._needs)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._dispatch.look()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._dispatch.look(last=True)
