"""Whole searches whose early rungs a part of the validation texts judges: what ranks, what votes,
what is shown."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.cli.main import main
from autoprompt.config import SearchConfig
from autoprompt.controller.callbacks.rerun_writer import Repeat, RepeatWriter
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.judge_unranked import judge_unranked
from autoprompt.controller.stopping_rule import Ladder, StoppingRule
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import State, Store
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.report import Step
from tests.autoprompt.test_store import search_fields, start
from tests.conftest import write_yaml
from tests.reports import report


class StopsOdd(StoppingRule):
    """Every other trial ends at its first rung."""

    def __init__(self, ladder: Ladder) -> None: ...

    def enter(self, number: int, kind: str) -> None: ...

    def stops(self, number: int, rung: int, score: float) -> bool:
        return number % 2 == 1

    def leave(self, number: int) -> None: ...


class StopsAll(StopsOdd):
    """Every trial ends at its first rung, as where those that went on have failed."""

    def stops(self, number: int, rung: int, score: float) -> bool:
        return True


def run(config: dict[str, Any], folder: Path, **search: Any) -> SearchResult:
    config["search"] |= {"judging": 4} | search
    return autoprompt.search(write_yaml(folder / "search.yaml", config), quiet=True)


def test_what_a_part_judged_does_not_rank_and_does_not_vote(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    result = run(tiny_config, tmp_path, stopping=f"{__name__}:StopsOdd")
    for trial in result.trials:
        assert [rung.judged for rung in trial.rungs] == ([4] if trial.number % 2 else [4, 8, None])
        if trial.number % 2:
            assert (trial.state, trial.score, trial.loss) == ("pruned", None, None)
            assert trial.judged_by_part == trial.rungs[-1]
        else:
            assert trial.score == trial.rungs[-1].score
            assert trial.judged_by_part is None
    whole = {trial.number for trial in result.trials if trial.number % 2 == 0}
    assert {trial.number for trial in result.leaderboard} == whole
    assert {prompt.number for prompt in result.prompts()} == whole
    assert {member.number for member in result.ensemble.members} <= whole
    assert {member.number for member in result.try_ensemble(3).members} <= whole
    labels = result.validation_labels
    for prompt in result.prompts():
        log_probs = result.answers.unpacked(prompt.log_probs)
        decided = result.answers.decided(log_probs)
        assert sum(decided == labels) / len(labels) == pytest.approx(prompt.score)
    assert result.as_dict()["judging"] == [4, 8, 16]
    with pytest.raises(BadInputError, match="all validation texts"):
        result.export(tmp_path / "out", trial=1)
    study = result.to_optuna()
    assert [study.trials[1].value, study.best_value] == [
        result.trials[1].rungs[0].score,
        result.leaderboard[0].score,
    ]

    said = CliRunner().invoke(main, ["trials", "latest", "--db", tiny_config["store"]]).output
    assert said.count(" on 4 ") == 3
    said = CliRunner().invoke(main, ["show", "latest", "--db", tiny_config["store"]]).output
    assert "judged by 4, 8 and 16 validation texts" in said
    page = result.report(tmp_path / "report.html").read_text()
    assert "3 that a part of the validation texts judged" in page
    assert "judged by 4, 8 and 16 validation texts" in page


def test_all_texts_judge_every_rung_of_a_small_validation_split(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    result = run(tiny_config, tmp_path, judging="auto")
    assert {rung.judged for trial in result.trials for rung in trial.rungs} == {None}
    assert result.as_dict()["judging"] == [16, 16, 16]
    said = CliRunner().invoke(main, ["show", "latest", "--db", tiny_config["store"]]).output
    assert "judged by" not in said


def test_finalists_are_compared_by_what_all_texts_say(tmp_path: Path) -> None:
    store, progress = Store.open(f"sqlite:///{tmp_path}/store.db"), SearchProgress(quiet=True)
    search = store.create_search(**search_fields())
    start(store, search.id, 3)
    repeat = Repeat(3, 1, {"seed": 7})
    writer = RepeatWriter(store, search.id, progress, {0: repeat}, lambda count: None)
    writer.began({"number": 0})
    scores = [(0.9, 4, ""), (0.8, 8, ""), (0.7, None, "complete")]
    for rung, (score, judged, end) in enumerate(scores, 1):
        writer.reported(report(0, rung, score, end, judged=judged), Step([], "here:1"))
    assert [one.score for one in store.confirmations(search.id)] == [0.7]


def test_where_nothing_was_judged_by_all_the_best_of_the_rest_are(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    result = run(tiny_config, tmp_path, stopping=f"{__name__}:StopsAll")
    assert result.state == "finished"
    ranked = result.leaderboard
    assert ranked
    assert {rung.judged for trial in ranked for rung in trial.rungs} == {4}
    assert result.best.number == ranked[0].number
    labels, metric = result.validation_labels, METRICS["accuracy"]
    for prompt in result.prompts():
        log_probs = result.answers.unpacked(prompt.log_probs)
        assert len(log_probs) == len(labels) == 16
        decided = metric.predictions(log_probs, result.answers.decided)
        assert prompt.score == pytest.approx((decided == labels).mean())

    # Done once: what has a score is left as it is.
    store, progress = Store.open(tiny_config["store"]), SearchProgress(quiet=True)
    prepared = prepare(SearchConfig.read(tmp_path / "search.yaml"), progress)
    before = result.as_dict()
    judge_unranked(prepared, store, result.record, InProcessExecutor(1, progress), progress)
    assert autoprompt.load("latest", db=tiny_config["store"]).as_dict() == before
    assert store.counts(result.id)[State.PRUNED] == 6


@pytest.mark.parametrize("judging", [0, -1, "some", 0.5])
def test_what_judging_may_be(judging: Any, tiny_config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"search\.judging"):
        run(tiny_config, tmp_path, judging=judging)
