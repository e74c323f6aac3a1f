"""The report: one HTML file that tells a search, readable anywhere and without a network.

It holds no script, and a content security policy that would let none run; what comes from the data
is escaped. Everything is read from the store, except the texts: those are read from the data again,
and left out, with the words that stand in them, where the data has moved or changed, or on request.
Files are told by their names, since a report is passed on: where they lie is nobody else's.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import yaml

from autoprompt.ensemble.selection import stacked
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.evaluation.probability_lines import abstention_line
from autoprompt.evaluation.where_wrong import WhereWrong
from autoprompt.export.optuna_study import build_study
from autoprompt.new_files import made_whole
from autoprompt.progress import clock
from autoprompt.reporting import charts
from autoprompt.reporting.charts import Axis
from autoprompt.reporting.hard_texts import WITNESSES, HardText, hard_texts
from autoprompt.reporting.page import environment
from autoprompt.reporting.trial_charts import TrialCharts
from autoprompt.reporting.wrong_answers import wrong_answers
from autoprompt.search_spaces.errors import DataError
from autoprompt.shown_paths import config_paths, shown_config, shown_path, shown_text
from autoprompt.shown_sizes import shown_size
from autoprompt.store import State
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.data import Splits
from autoprompt.workers.rows import as_text
from autoprompt.workers.vote import Floats

#: Trials on the leaderboard before the fold.
_LEADERS = 20

#: Fewer trials than this say nothing of which parameter matters.
_TRIALS_FOR_IMPORTANCE = 10


def write_report(
    result: StoredSearch,
    path: str | Path,
    *,
    texts: bool = True,
    explained: dict[str, Any] | None = None,
    states: Mapping[str, Floats] | None = None,
) -> Path:
    """Write the report of a search, finished or not, to a new file.

    Args:
        texts: show those that were most often wrong; without, no text of the data is in the file.
        explained: what the best prompt's parts do, as `evaluation.left_out` has it.
        states: by the split's name, [B, H]: hidden states that wrong texts are clustered by.

    Raises:
        BadInputError: the file exists, or its folder does not.
        SearchUnfinishedError: no trial has a score yet.
    """
    with made_whole(Path(path), "--out") as unfinished:
        written = render(result, texts=texts, explained=explained, states=states)
        unfinished.write_text(written, encoding="utf-8")
    return Path(path)


def render(
    result: StoredSearch,
    *,
    texts: bool = True,
    explained: dict[str, Any] | None = None,
    states: Mapping[str, Floats] | None = None,
) -> str:
    """The report as HTML.

    Args:
        texts, explained, states: as in `write_report`.

    Raises:
        SearchUnfinishedError: no trial has a score yet.
    """
    result.best  # noqa: B018 - raises where there is nothing to report
    page = environment()
    report = Report(result, texts=texts, explained=explained, states=states)
    page.filters |= {"score": "{:.4f}".format, "percent": "{:.0%}".format, "clock": clock}
    page.filters |= {"name": shown_path, "sentence": report.sentence, "size": shown_size}
    page.globals["size"] = {
        "width": charts.WIDTH, "height": charts.HEIGHT, "left": charts.LEFT,
        "right": charts.RIGHT, "top": charts.TOP, "bottom": charts.BOTTOM,
    }  # fmt: skip
    style = resources.files(__package__) / "templates" / "report.css"
    return page.get_template("report.html.j2").render(
        style=style.read_text(encoding="utf-8"), report=report, leaders=_LEADERS
    )


class Report:
    """What the template tells, each part None or empty where there is nothing to tell.

    Attributes:
        with_texts: whether texts of the data may be shown.
        explained: what the best prompt's parts do.
        states: hidden states to cluster texts by; without any, words are.
    """

    def __init__(
        self,
        result: StoredSearch,
        *,
        texts: bool = True,
        explained: dict[str, Any] | None = None,
        states: Mapping[str, Floats] | None = None,
    ) -> None:
        self.result = result
        self.with_texts = texts
        self.explained = explained
        self.states = states
        self.record = result.record
        self.labels = list(result.answers.names)
        self.scored = [trial for trial in result.trials if trial.score is not None]
        self.unranked = [
            (trial, trial.judged_by_part) for trial in result.trials if trial.judged_by_part
        ]
        self.failed = [trial for trial in result.trials if trial.error]
        self.kinds = sorted({trial.kind for trial in result.trials}, reverse=True)

    @cached_property
    def showing(self) -> set[int]:
        """The trials whose prompts have texts of the data in them."""
        plans = {trial.number: trial.plan for trial in self.result.trials}
        return {
            number
            for number, plan in plans.items()
            if plan.get("demonstrations") or plan.get("searcher") == "demonstrations"
        }

    def prompt(self, number: int | None, text: str | None) -> str:
        """A trial's prompt, or a baseline's name, as far as it may be shown."""
        if not self.with_texts and number in self.showing:
            return "[a prompt with demonstrations from the data]"
        return (text or "").strip()

    @property
    def seconds(self) -> float | None:
        """From the search's start to its end."""
        end = self.record.finished_at
        return (end - self.record.started_at).total_seconds() if end else None

    # Scores

    @cached_property
    def tests(self) -> list[tuple[str, dict[str, Any]]]:
        """Rows of scores on the test split: name and estimate."""
        test = self.result.test
        if test is None or self.record.ensemble is None:
            return []
        size = len(self.record.ensemble["members"])
        names = {
            "no_prompt": "no prompt, the template alone",
            "mean": f"mean of the {size} members",
            "best": f"best single prompt (trial {self.result.best.number})",
            "ensemble": f"{self.record.ensemble['vote']} vote of {size}",
        }
        if size == 1:
            del names["mean"]
        return [(name, test[key]) for key, name in names.items() if test.get(key)]

    @property
    def probabilities(self) -> dict[str, Any] | None:
        """What probabilities of the test texts are worth; see `probability_scores`."""
        return (self.result.test or {}).get("probabilities")

    @property
    def abstention(self) -> str | None:
        """What the ensemble does with texts that it is not sure enough of."""
        told = (self.result.test or {}).get("abstain")
        return abstention_line(told) if told else None

    @property
    def ratio(self) -> float | None:
        """Disagreement over error, of those that vote."""
        ratio: float | None = self.result.ensemble.scores["disagreement_error_ratio"]
        return ratio

    @cached_property
    def test_axis(self) -> Axis:
        beside = [row for row in self.result.baselines if row["score"] is not None]
        rows = [*(row for _, row in self.tests), *beside]
        ends = [row[side] for row in rows for side in ("low", "high")]
        return Axis.over(self.record.metric, ends)

    @cached_property
    def elsewhere(self) -> list[tuple[str, dict[str, Any]]]:
        """Other labelled texts that the prompts were tried on: source and scores, newest last."""
        return [
            (shown_path(evaluation.source), evaluation.result)
            for evaluation in self.result.evaluations
            if evaluation.source != "test" and evaluation.result
        ]

    # Trials

    @property
    def judging(self) -> list[int] | None:
        """How many validation texts judge each rung, where not all of them judge every one."""
        return self.result.judging if self.result.judged_by_parts else None

    @cached_property
    def charts(self) -> TrialCharts:
        trials = [
            replace(trial, prompt=self.prompt(trial.number, trial.prompt))
            for trial in self.result.trials
        ]
        return TrialCharts(trials, self.record.metric, self.result.direction, self.result.pareto)

    @cached_property
    def kind_rows(self) -> list[dict[str, Any]]:
        """For each kind of prompt: how many, and how well and how fast."""
        rows = []
        for kind in self.kinds:
            own = [trial for trial in self.scored if trial.kind == kind]
            if own:
                scores = [trial.score for trial in own if trial.score is not None]
                rows.append(
                    {
                        "kind": kind,
                        "trials": len(own),
                        "best": self.result.direction.best(scores),
                        "median": median(scores),
                        "seconds": median(trial.seconds for trial in own),
                    }
                )
        return rows

    @cached_property
    def importances(self) -> list[tuple[str, float]]:
        """How much each parameter explains of which trials are among the best, most first.

        By Optuna (PED-ANOVA); trials that were stopped early count with what they had reached.
        """
        ended = [
            dataclasses.replace(trial, state=State.COMPLETE)
            for trial in self.scored
            if trial.state in (State.COMPLETE, State.PRUNED)
        ]
        if len(ended) < _TRIALS_FOR_IMPORTANCE or not any(trial.params for trial in ended):
            return []
        study = build_study(ended, direction=self.result.direction)
        return list(optuna.importance.get_param_importances(study).items())

    # Predictions on validation

    @cached_property
    def _expected(self) -> list[int]:
        return self.result.validation_labels

    @cached_property
    def _members(self) -> Floats:
        """[N, B, L] log-probabilities of those that vote; of the best alone before any do."""
        if self.record.ensemble:
            # Of all labelled texts, where prompts of folds vote: the validation texts come last.
            return self.result.ensemble.log_probs[:, -len(self._expected) :]
        return stacked(self.result.prompts([self.result.best.number]), self.result.answers)

    @property
    def decided_by(self) -> str:
        """Whose decisions the confusion matrix counts."""
        if self.record.ensemble is None:
            return f"trial {self.result.best.number}"
        return f"the {self.record.ensemble['vote']} vote of {len(self._members)}"

    @cached_property
    def confusion(self) -> list[list[int]]:
        """[L, L]: how many validation texts of each label (row) were given each label."""
        if self.record.ensemble:
            decided = self.result.ensemble.decisions[-len(self._expected) :]
        else:
            decided = self.result.answers.decided(self._members)[0]
        table = np.zeros((len(self.labels), len(self.labels)), dtype=int)
        np.add.at(table, (np.asarray(self._expected), decided), 1)
        return [[int(count) for count in row] for row in table]

    @cached_property
    def unanimous(self) -> float:
        """The part of the validation texts on which all members say the same."""
        answers = self.result.answers
        decisions = answers.decided(self._members)
        return float(answers.same(decisions, decisions[0]).all(axis=0).mean())

    @cached_property
    def witnesses(self) -> int:
        """How many prompts were asked which texts are hard."""
        return min(WITNESSES, len(self.result.leaderboard))

    @cached_property
    def hard_texts(self) -> list[HardText]:
        """The validation texts that the best prompts most often got wrong, most often first."""
        return hard_texts(self.result, self.texts)

    @cached_property
    def wrong(self) -> list[WhereWrong]:
        """Where the ensemble was wrong."""
        splits = self._splits
        return wrong_answers(self.result, splits, shown=self.with_texts, states=self.states)

    @property
    def error_axis(self) -> Axis:
        """Parts of texts that are wrong."""
        groups = [group for where in self.wrong for group in where.groups]
        return Axis.over("part wrong", [group.error.high for group in groups], zero=True)

    @cached_property
    def texts(self) -> Sequence[str]:
        """The validation texts; none where they are not to be shown, or not what they were."""
        if not self.with_texts or self._splits is None:
            return ()
        return [as_text(text) for text in self._splits.validation.texts]

    @cached_property
    def _splits(self) -> Splits | None:
        """The data; None where it is gone, or not what it was."""
        try:
            return splits_of(self.record)
        except DataError:
            return None

    # Provenance

    @property
    def config_yaml(self) -> str:
        shown = shown_config(self.record.config)
        return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)

    def sentence(self, text: str) -> str:
        """An error or a warning without the folders and URLs it names."""
        return shown_text(text, config_paths(self.record.config))
