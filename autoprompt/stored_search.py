"""A search's results, read from the store: trials, the best one, the ensemble, the test scores."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autoprompt.ensemble.ensemble import Ensemble
from autoprompt.evaluation.finalists import Finalist, finalists
from autoprompt.evaluation.pareto import pareto
from autoprompt.plain_records import opening_as_dict, trial_as_dict
from autoprompt.search_spaces.errors import SearchUnfinishedError
from autoprompt.statistics.abstention import Abstention
from autoprompt.store import (
    Candidate,
    EvaluationRecord,
    PromptRecord,
    SearchRecord,
    SearchSummary,
    Store,
    TrialRecord,
)
from autoprompt.workers.blocks import blocks
from autoprompt.workers.direction import Direction

if TYPE_CHECKING:
    import pandas as pd

    from autoprompt.config import SearchConfig
    from autoprompt.evaluation.held_out_answers import HeldOutAnswers
    from autoprompt.workers.answers import Answers

#: What `trials_dataframe` has of each trial, before its parameters.
_COLUMNS = (
    "number",
    "state",
    "kind",
    "score",
    "loss",
    "judged",
    "seconds",
    "tokens",
    "prompt",
    "error",
)


class StoredSearch:
    """One search, finished or not, as the store knows it now: all that can be read of it.

    Scores are shown as the metric has them, a log loss as 0.4; the store's own are oriented.
    """

    def __init__(
        self, store: Store, record: SearchRecord, summary: SearchSummary | None = None
    ) -> None:
        self._store = store
        self._summary = summary
        self.record = record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.state}>"

    @property
    def id(self) -> int:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> str:
        return self.record.state

    @cached_property
    def config(self) -> "SearchConfig":
        """What was asked of it.

        Raises:
            ConfigError: it was stored by a version whose configuration was another.
        """
        from autoprompt.config import SearchConfig

        return SearchConfig.from_store(self.record.config, self.name)

    @cached_property
    def answers(self) -> "Answers":
        """What its prompts answer with: says what their stored predictions decide."""
        from autoprompt.search_answers import answers_in

        return answers_in(self.record)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return self._summary.counts if self._summary else self._store.counts(self.id)

    @property
    def best_score(self) -> float | None:
        """The best validation score so far."""
        best = self._summary.best_score if self._summary else self._store.best_score(self.id)
        return None if best is None else self.direction.natural(best)

    @property
    def direction(self) -> Direction:
        """Which way its scores are better."""
        return self.record.direction

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Every trial, in the order of their numbers."""
        return self._natural(self._store.trials(self.id))

    def each_trial(self) -> Iterator[TrialRecord]:
        """The same, a page at a time: for searches of more trials than memory should hold."""
        return (trial.natural(self.direction) for trial in self._store.each_trial(self.id))

    def newest(self, limit: int) -> list[TrialRecord]:
        """The trials that began last, at most `limit`, in the order of their numbers."""
        return self._natural(self._store.newest_trials(self.id, limit))

    @cached_property
    def leaderboard(self) -> list[TrialRecord]:
        """The trials that have a score, best first; ties by loss, then by number."""
        return self._natural(self._store.leaderboard(self.id))

    def leaders(self, limit: int) -> list[TrialRecord]:
        """The first of the leaderboard, at most `limit`, of ten trials or a million."""
        return self._natural(self._store.leaderboard(self.id, limit))

    @cached_property
    def pareto(self) -> list[dict[str, Any]]:
        """The trials that none matches in score with as few tokens a text; see
        `autoprompt.evaluation.pareto`. None of searches of older versions."""
        trials = self._natural(self._store.best_by_tokens(self.id))
        return pareto(trials, self.direction, self.record.data.get("text_tokens"))

    def trials_dataframe(self) -> "pd.DataFrame":
        """The trials as a pandas DataFrame, a row each, in the order of their numbers; their
        parameters as columns `params_NAME`, as Optuna's own has them."""
        import pandas as pd

        rows = []
        for trial in self.trials:
            row = trial_as_dict(trial)
            own = {f"params_{name}": value for name, value in row["params"].items()}
            rows.append({key: row[key] for key in _COLUMNS} | own)
        return pd.DataFrame(rows, columns=None if rows else list(_COLUMNS))

    def _natural(self, trials: list[TrialRecord]) -> list[TrialRecord]:
        return [trial.natural(self.direction) for trial in trials]

    @property
    def best(self) -> TrialRecord:
        """The best trial: by its mean over seeds where finalists were confirmed, else by its score
        on validation.

        Raises:
            SearchUnfinishedError: no trial has a score yet.
        """
        first = self.leaders(1)
        if not first:
            raise SearchUnfinishedError(f"search {self.name!r} has no trial with a score")
        chosen = self.record.best
        if chosen is None or chosen == first[0].number:
            return first[0]
        return next(trial for trial in self.leaderboard if trial.number == chosen)

    @cached_property
    def finalists(self) -> list[Finalist]:
        """The finalists that were trained again with other seeds, best mean first."""
        confirmed = finalists(self._store, self.id)
        return [finalist.natural(self.direction) for finalist in confirmed]

    @cached_property
    def ensemble(self) -> Ensemble:
        """The ensemble that was chosen when the search ended.

        Raises:
            SearchUnfinishedError: the search ended without one, or has not ended.
        """
        chosen = self.record.ensemble
        if chosen is None:
            raise SearchUnfinishedError(
                f"search {self.name!r} is {self.state} and has no ensemble; "
                "one is chosen when a search finishes"
            )
        from autoprompt.ensemble.selection import Chosen
        from autoprompt.evaluation.stored_candidates import stored_candidates
        from autoprompt.workers.combination import Combination
        from autoprompt.workers.vote import vote_weights

        candidates, labels = stored_candidates(self._store, self.record, chosen["members"])
        known = {candidate.reference: candidate.natural(self.direction) for candidate in candidates}
        members = [known[reference] for reference in chosen["members"]]
        # Older versions stored no weights, and had no metrics of which less is better.
        scores = [member.score for member in members]
        weights = chosen.get("weights") or vote_weights(chosen["vote"], [1] * len(members), scores)
        return Ensemble(
            self.record,
            Chosen(
                members,
                Combination.from_dict(chosen | {"weights": weights}),
                chosen.get("select", "top"),
                chosen["validation"],
                labels,
                self.answers,
                chosen.get("note"),
            ),
            self.test,
            self.deployed(members),
            Abstention.from_dict(rule) if (rule := chosen.get("abstain")) else None,
        )

    @property
    def is_bagged(self) -> bool:
        """Whether prompts of folds vote."""
        return bool((self.record.ensemble or {}).get("bagged"))

    def deployed(self, voters: Sequence[Candidate]) -> list[Candidate]:
        """What labels texts in these voters' places: prompts of folds, or where they were refitted
        those that learnt all labelled texts; none where the voters do."""
        spec = self.config.bagging
        if not self.is_bagged or spec is None:
            return []
        from autoprompt.evaluation.out_of_fold import deployed

        return deployed(self._store, self.id, voters, spec.refit)

    @cached_property
    def test(self) -> dict[str, Any] | None:
        """Scores on the test split with their 95% intervals, or None before it was opened.

        Keys: texts, no_prompt, best, mean, best_member, ensemble, members; each score is a mapping
        of score, low, high and method, and of number where it is one trial's; and baselines, a list
        (see `baselines`).
        """
        return self.test_opening.result if self.test_opening else None

    @cached_property
    def test_opening(self) -> EvaluationRecord | None:
        """The last opening of the test split that has scores."""
        tested = [
            evaluation
            for evaluation in self.evaluations
            if evaluation.source == "test" and evaluation.result
        ]
        return tested[-1] if tested else None

    @cached_property
    def baselines(self) -> list[dict[str, Any]]:
        """What stands beside the prompts, as `evaluation.baseline_table.tested_baselines` has it:
        without scores on test before that was opened; none in searches of older versions."""
        from autoprompt.evaluation.baseline_table import baseline_row

        if self.test is not None:
            return list(self.test.get("baselines", ()))
        return [baseline_row(one, self.direction) for one in self._store.baselines(self.id)]

    @cached_property
    def verdicts(self) -> list[str]:
        """What the baselines say of the prompts, a sentence each."""
        from autoprompt.evaluation.baseline_table import verdicts

        return verdicts(self.test, self.direction)

    @cached_property
    def evaluations(self) -> list[EvaluationRecord]:
        """Every opening of labelled texts that no trial saw: the test split, and other files."""
        return self._store.evaluations(self.id)

    def held_out_answers(self, opening: EvaluationRecord) -> "HeldOutAnswers | None":
        """What was answered at an opening, and what is right; None of an older version's, or before
        it is known."""
        from autoprompt.evaluation.held_out_answers import HeldOutAnswers

        content = self._store.predictions(opening.id)
        return None if content is None else HeldOutAnswers.unpacked(content, self.answers)

    def prompts(
        self, numbers: list[int] | None = None, limit: int | None = None
    ) -> list[PromptRecord]:
        """The stored prompts, best first: of these trials, or of all; at most `limit`."""
        records = self._store.prompts(self.id, numbers, limit)
        return [prompt.natural(self.direction) for prompt in records]

    @property
    def best_prompt(self) -> PromptRecord:
        """The best trial's prompt; the one that learnt all labelled texts, where it was refitted.

        Raises:
            SearchUnfinishedError: no trial has a score yet.
        """
        [prompt] = self.prompts([self.best.number])
        if self.config.bagging is not None and self.config.bagging.refit:
            [refitted] = self.deployed([prompt])[:1] or [prompt]
            assert isinstance(refitted, PromptRecord)
            return refitted
        return prompt

    @cached_property
    def validation_labels(self) -> list[int]:
        """[B], the right labels of the validation texts that stored predictions are judged by."""
        return self._store.validation_labels(self.id)

    @cached_property
    def judging(self) -> list[int] | None:
        """How many validation texts judge each rung; None of a search that does not say."""
        spec = self.record.config.get("search", {})
        if "rungs" not in spec:
            return None
        labels = self.answers.divided(self.validation_labels)
        rungs, growth, seed = spec["rungs"], spec["reduction_factor"], self.record.seed
        judging, first = spec.get("judging", "all"), self.answers.first_block
        parts = blocks(labels, judging, rungs, growth, seed, first)
        return [parts.at(rung) or len(labels) for rung in range(1, rungs + 1)]

    @property
    def judged_by_parts(self) -> bool:
        """Whether a part of the validation texts judges some rungs."""
        return len(set(self.judging or ())) > 1

    def summary(self) -> dict[str, Any]:
        """What `autoprompt list --json` prints of each search."""
        record = self.record
        return {
            "id": record.id,
            "name": record.name,
            "state": record.state,
            "model": record.model,
            "metric": record.metric,
            "greater_is_better": record.greater_is_better,
            "seed": record.seed,
            "owner": record.owner,
            "tags": record.tags or [],
            "started_at": record.started_at.isoformat(),
            "finished_at": record.finished_at.isoformat() if record.finished_at else None,
            "trials": self.counts,
            "best_score": self.best_score,
        }

    def as_dict(self) -> dict[str, Any]:
        """What `autoprompt show --json` prints."""
        record = self.record
        best = self.best if self.leaders(1) else None
        return self.summary() | {
            "error": record.error,
            "data": record.data,
            "judging": self.judging,
            "best": trial_as_dict(best) if best else None,
            "pareto": self.pareto,
            "ensemble": record.ensemble,
            "test": self.test,
            "baselines": {row["name"]: row for row in self.baselines},
            "verdicts": self.verdicts,
            "warm_start": record.warm_start,
            "openings": [opening_as_dict(evaluation) for evaluation in self.evaluations],
            "finalists": [finalist.as_dict() for finalist in self.finalists],
            "warnings": record.warnings or [],
            "versions": record.versions,
            "config": record.config,
        }
