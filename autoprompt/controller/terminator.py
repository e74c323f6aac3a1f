"""A search that ends itself when its best score is unlikely to rise.

Optuna's evaluators look at complete trials alone, of which early stopping leaves few, and at the
parameters that all of them have, which in a space of several kinds is the kind. Here a trial that
was stopped has not improved on the best; and the regret is bounded for each kind by itself.
"""

import math
import warnings
from collections.abc import Callable, Sequence

import optuna
from optuna.terminator import RegretBoundEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoprompt.controller.dispatch import Limit
from autoprompt.preparation.prepare import Prepared
from autoprompt.search_spec import SearchSpec
from autoprompt.statistics.intervals import estimate
from autoprompt.store import Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.metrics import METRICS

#: A kind with fewer complete trials is not known well enough to be given up.
_FEWEST = 4

#: Standard errors from a score to the end of its 95% interval.
_DEVIATIONS = 1.96


def standard_error(store: Store, search_id: int, prepared: Prepared) -> float:
    """Of a search's best score, by the validation texts that gave it."""
    [best] = store.prompts(search_id, limit=1)
    answers, metric = answers_of(prepared.config.task), METRICS[prepared.config.task.metric]
    predicted = metric.predictions(answers.unpacked(best.log_probs), answers.decided)
    found = estimate(metric, answers.right(prepared.splits.validation.labels), predicted)
    return (found.high - found.low) / (2 * _DEVIATIONS)


class Terminator(Limit):
    """Looks at a search's trials whenever one more has ended.

    Args:
        trials: those that are complete or were stopped, in the order of their numbers; their values
            are better the higher they are.
        error: the standard error of the best score.
        kinds: of prompts in the space.
    """

    def __init__(
        self,
        spec: SearchSpec,
        trials: Callable[[], Sequence[FrozenTrial]],
        error: Callable[[], float],
        kinds: Sequence[str],
    ) -> None:
        self._spec = spec
        self._trials = trials
        self._error = error
        self._kinds = kinds
        self._ended = -1
        self._found: str | None = None

    def reached(self, ended: int) -> str | None:
        if ended != self._ended and self._found is None:
            self._ended = ended
            trials = self._trials()
            ways = {"stagnation": self._stagnation, "regret_bound": self._regret_bound}
            if any(trial.state is TrialState.COMPLETE for trial in trials):
                self._found = ways[self._spec.terminator or "stagnation"](trials)
        return self._found

    def _stagnation(self, trials: Sequence[FrozenTrial]) -> str | None:
        best, since = -math.inf, 0
        for trial in trials:
            since += 1
            if trial.state is TrialState.COMPLETE and trial.value > best:
                best, since = trial.value, 0
        if since < self._spec.terminator_trials:
            return None
        return f"{since} trials in a row had not improved on its best score (stagnation)"

    def _regret_bound(self, trials: Sequence[FrozenTrial]) -> str | None:
        complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        count, every = len(complete), max(1, len(complete) // 20)
        # Each look fits a Gaussian process; which of them are made follows from the trials alone.
        if count < self._spec.terminator_trials or count % every:
            return None
        by_kind = {
            kind: [trial for trial in complete if trial.params.get("kind", kind) == kind]
            for kind in self._kinds
        }
        if min(map(len, by_kind.values())) < _FEWEST:
            return None
        best = max(trial.value for trial in complete)
        error = self._error()
        room = max(_highest(own, self._spec.seed) for own in by_kind.values()) - best
        if room >= error:
            return None
        return (
            f"what its best score may still gain, {max(room, 0.0):.2g}, was below that score's "
            f"standard error of {error:.2g} (regret_bound)"
        )


def _highest(trials: Sequence[FrozenTrial], seed: int) -> float:
    """How high the score of any prompt of a kind may be, with high probability (Makarova et al.
    2022): the best of its complete trials, and the bound of its regret."""
    best = max(trial.value for trial in trials)
    asked = [_without_kind(trial) for trial in trials]
    if not optuna.search_space.intersection_search_space(asked):
        return best
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = RegretBoundEvaluator(min_n_trials=min(len(asked), 20), seed=seed)
    return best + float(evaluator.evaluate(asked, optuna.study.StudyDirection.MAXIMIZE))


def _without_kind(trial: FrozenTrial) -> FrozenTrial:
    """As if there were no other kinds to choose from."""
    own = {
        name: distribution
        for name, distribution in trial.distributions.items()
        if name != "kind" and not distribution.single()
    }
    params = {name: trial.params[name] for name in own}
    return create_trial(params=params, distributions=own, value=trial.value)
