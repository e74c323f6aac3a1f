"""Searches by other metrics than accuracy: less may be better, and a user may bring their own."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.callbacks import TrialEnd, TrialReport
from autoprompt.cli import main
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import SearchFailedError
from autoprompt.store import Store
from tests.conftest import DEMO_TASK, write_texts, write_yaml


class Heard(autoprompt.Callback):
    """The scores that a user's own code is told of."""

    def __init__(self) -> None:
        self.scores: list[float] = []

    def trial_reported(self, trial: TrialReport) -> None:
        self.scores.append(trial.score)

    def trial_ended(self, trial: TrialEnd) -> None:
        assert trial.score is not None
        self.scores.append(trial.score)


@pytest.fixture(scope="module")
def db(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store of a search by log loss, with finalists trained again."""
    folder = tmp_path_factory.mktemp("less")
    write_texts(folder / "texts.csv")
    soft = {"length": [1, 3], "learning_rate": [0.02, 0.1], "steps": 4, "batch_size": 4}
    config = {
        "name": "less",
        "model": {"path": str(tiny_folder), "dtype": "float32"},
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": DEMO_TASK.model_dump() | {"metric": "log_loss"},
        "space": {"soft": soft},
        "search": {"trials": 6, "workers": 0, "seed": 3, "cache_gib_on_disk": 0},
        "ensemble": {"select": "greedy"},
        "confirm": {"top": 2, "seeds": 2},
    }
    url = f"sqlite:///{folder / 'store.db'}"
    heard = Heard()
    autoprompt.search(
        write_yaml(folder / "search.yaml", config), db=url, quiet=True, callbacks=[heard]
    )
    assert heard.scores
    assert min(heard.scores) > 0
    return url


@pytest.fixture
def less(db: str) -> SearchResult:
    return autoprompt.load(db=db)


def test_where_less_is_better_the_least_is_best_and_people_see_it_as_it_is(
    less: SearchResult, db: str, tmp_path: Path
) -> None:
    for trial in less.trials:
        # The validation loss of a trial is its log loss.
        assert trial.score == pytest.approx(trial.loss, abs=1e-5)
        assert trial.score == min(rung.score for rung in trial.rungs)
    shown = [trial.score for trial in less.leaderboard]
    assert shown == sorted(shown)
    assert less.best_score == shown[0]
    store = Store.open(db)
    kept = [trial.score for trial in store.leaderboard(less.id)]
    assert kept == [-score for score in shown], "the store's own have more as better"

    first, second = less.finalists
    assert 0 < first.mean <= second.mean
    assert less.best.number == first.number
    ensemble, alone = less.ensemble, less.leaderboard[0].score
    assert ensemble.vote == "weighted", "a vote by heads has no probabilities"
    assert 0 < ensemble.validation <= alone
    assert ensemble.scores["ensemble"]["score"] == pytest.approx(ensemble.validation)
    assert all(weight > 0 for weight in ensemble.weights)
    assert less.test is not None
    for row in ("no_prompt", "best", "mean", "ensemble", "best_member"):
        assert 0 < less.test[row]["low"] <= less.test[row]["score"] <= less.test[row]["high"]
        assert less.test[row]["method"] == "bootstrap"
    scores = [member["score"] for member in less.test["members"]]
    assert less.test["best_member"]["score"] == min(scores)

    study = less.to_optuna()
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert study.best_value == pytest.approx(
        min(trial.score for trial in less.trials if trial.state == "complete")
    )
    less.export(tmp_path / "folder", "json")
    for page in (less.report(tmp_path / "report.html"), tmp_path / "folder" / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert f"{less.best.score:.4f}" in text
        assert not re.search(r"-0\.\d{4}", text.replace("rotate(-", ""))
    document = json.loads((tmp_path / "folder" / "prompt.json").read_text(encoding="utf-8"))
    assert document["prompts"][0]["score"] > 0


def test_the_command_line_shows_natural_scores(less: SearchResult, db: str) -> None:
    def printed(*arguments: str) -> str:
        result = CliRunner().invoke(main, [*arguments, "--db", db])
        assert result.exit_code == 0, result.output
        return result.stdout

    for command in ("show", "trials", "ensemble"):
        assert not re.search(r"-\d\.\d{4}", printed(command, "less")), command
    shown = json.loads(printed("show", "less", "--json"))
    assert (shown["metric"], shown["greater_is_better"]) == ("log_loss", False)
    assert shown["best"]["score"] == less.best.score
    assert shown["best_score"] == less.best_score
    assert shown["finalists"][0]["mean"] > 0
    assert shown["ensemble"]["validation"] > 0
    trials = json.loads(printed("trials", "less", "--json"))
    assert all(trial["score"] > 0 for trial in trials)
    assert all(rung["score"] > 0 for trial in trials for rung in trial["rungs"])
    tried = json.loads(printed("ensemble", "less", "--size", "2", "--json"))
    assert all(member["score"] > 0 for member in tried["members"])
    assert f"{less.best_score:.4f}" in printed("list")
    refused = CliRunner().invoke(main, ["ensemble", "less", "--vote", "majority", "--db", db])
    assert refused.exit_code == 2
    assert refused.stderr == (
        "Error: a majority vote gives labels alone, and log_loss needs probabilities; try a "
        "weighted one\n"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "log_los"}, "task.metric: no metric named 'log_los'; the nearest is log_loss"),
        ({"metric": "nothing_of_ours:f"}, "task.metric: metric 'nothing_of_ours:f' cannot be imp"),
        ({"metric": "math:isnan"}, "math:isnan fails on 4 texts made up to try it: TypeError"),
        ({"metric": "numpy:add"}, "numpy:add fails on 4 texts made up to try it: TypeError"),
        ({"metric": "numpy:not_there"}, "'numpy:not_there' cannot be imported: AttributeError"),
        ({"metric": "brier"}, "ensemble.vote: a majority vote gives labels alone, and brier needs"),
    ],
)
def test_a_metric_that_will_not_do_is_refused_in_one_line(
    changes: dict[str, str], words: str, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["task"] |= changes
    tiny_config["ensemble"]["vote"] = "majority"
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    result = CliRunner().invoke(main, ["search", str(path)])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert words in line
    assert not (tmp_path / "store.db").exists()


OWN = """
def missed(expected, predicted):
    return 1 - (expected == predicted).mean()

missed.greater_is_better = False

def seldom(expected, predicted):
    return float("nan") if len(expected) > 8 else 1.0
"""


@pytest.fixture
def beside(tiny_config: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    """A user's module beside the configuration, which is not where they are."""
    (tmp_path / "tests_own_metrics.py").write_text(OWN)
    tiny_config["search"] |= {"trials": 2, "rungs": 1, "workers": 0}
    before = sys.path.copy()
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("tests_own_metrics", None)


def test_a_users_own_metric_is_found_on_workers_and_again_from_the_store(
    tiny_config: dict[str, Any], beside: Path, shared_ray: None
) -> None:
    tiny_config["task"]["metric"] = "tests_own_metrics:missed"
    tiny_config["search"]["workers"] = 1
    result = autoprompt.search(write_yaml(beside / "search.yaml", tiny_config), quiet=True)
    assert (result.record.metric, result.record.greater_is_better) == (
        "tests_own_metrics:missed",
        False,
    )
    shown = [trial.score for trial in result.leaderboard]
    assert shown == sorted(shown)
    assert all(0 <= score <= 1 for score in shown)
    assert result.test is not None
    assert result.test["metric"] == "tests_own_metrics:missed"
    assert result.test["ensemble"]["method"] == "bootstrap"

    # In another process, elsewhere: the store knows where the module lay.
    sys.path.remove(str(beside))
    del sys.modules["tests_own_metrics"]
    again = autoprompt.load(db=tiny_config["store"])
    assert again.as_dict() == result.as_dict()
    assert again.try_ensemble(1).validation == pytest.approx(shown[0])


def test_a_metric_that_turns_out_to_be_no_number_fails_its_trials(
    tiny_config: dict[str, Any], beside: Path
) -> None:
    tiny_config["task"]["metric"] = "tests_own_metrics:seldom"
    with pytest.raises(SearchFailedError, match="metric tests_own_metrics:seldom became nan at"):
        autoprompt.search(write_yaml(beside / "search.yaml", tiny_config), quiet=True)
