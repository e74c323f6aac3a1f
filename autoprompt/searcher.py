"""Optuna, asked and told, as a Ray Tune searcher.

Ray's own `OptunaSearch` fixes the space up front, cannot leave a failed trial behind (it stays
running, and the sampler steers away from it for ever), and does not tell a stopped trial from a
finished one. Here each trial is told as what it was: complete, pruned or failed.
"""

import json
import time
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search_spaces import Space, sample

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaSearcher(Searcher):
    """Draws plans from a space; learns from what their trials report.

    Args:
        first: parameters to try before any others, whole or in part, each within the space.
    """

    def __init__(self, space: Space, seed: int, *, first: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(metric="score", mode="max")
        self._space = space
        self._seed = seed
        with warnings.catch_warnings():
            # `group` is how TPE learns conditional parameters; Optuna calls it experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._asked: dict[str, optuna.Trial] = {}
        #: Trial id -> rung -> the best score up to it.
        self._scores: dict[str, dict[int, float]] = {}
        # One trial of each kind early on, so that none is judged without being tried.
        tried = {params.get("kind") for params in first}
        untried = [kind for kind in space.kinds if len(space.kinds) > 1 and kind not in tried]
        for params in [*first, *({"kind": kind} for kind in untried)]:
            self._study.enqueue_trial(params)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next plan, with what it was drawn from."""
        trial = self._study.ask()
        plan = sample(self._space, trial, self._seed)
        self._asked[trial_id] = trial
        return {
            "number": trial.number,
            "drawn_at": time.time(),
            "plan": plan.model_dump(),
            "params": trial.params,
            "distributions": {
                name: json.loads(distribution_to_json(distribution))
                for name, distribution in trial.distributions.items()
            },
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A rung was reported, and the trial goes on."""
        self._report(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial ended: tell Optuna how."""
        if trial_id not in self._asked:
            return
        if result and "score" in result:
            self._report(trial_id, result)
        trial = self._asked.pop(trial_id)
        scores = self._scores.pop(trial_id, {})
        if error or not scores or result is None or "error" in result:
            self._study.tell(trial, state=TrialState.FAIL)
        elif result["ended"]:
            self._study.tell(trial, scores[max(scores)])
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        scores = self._scores.setdefault(trial_id, {})
        if "error" in result or result["rung"] in scores:
            return
        scores[result["rung"]] = max([result["score"], *scores.values()])
        self._asked[trial_id].report(scores[result["rung"]], result["rung"])

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts into its scratch folder, and the trials table is the one
        record of a search."""
        return {}

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing, likewise."""
