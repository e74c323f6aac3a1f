"""Scores on another domain's texts: what is stored, what is said, what is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import autoprompt
from autoprompt.cli import main
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import DataError, ModelError, SearchUnfinishedError
from tests.conftest import copy_store, write_texts, write_yaml
from tests.tiny import TEXTS

ELSEWHERE = [{"body": f"{row['text']} indeed", "stars": row["label"]} for row in TEXTS[::3]]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def finished_db(finished_db: str, tmp_path: Path) -> str:
    """A copy of the finished search's store: what is evaluated here is no one else's business."""
    return copy_store(finished_db, tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> str:
    return str(write_texts(tmp_path / "other.csv", ELSEWHERE))


COLUMNS = {"text": "body", "label": "stars"}


def test_another_domain_is_scored_stored_and_its_second_opening_said(
    other: str, finished: SearchResult, finished_db: str
) -> None:
    options = ["--data", other, "--text", "body", "--label", "stars", "--db", finished_db]
    first = call("evaluate", "finished", *options, "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert (found["texts"], found["opening"], found["seen"]) == (len(ELSEWHERE), 1, 0)
    assert [each["number"] for each in found["members"]] == [
        member.number for member in finished.ensemble.members
    ]
    assert found["best"]["number"] == finished.best.number
    for row in ("no_prompt", "best", "mean", "best_member", "ensemble"):
        assert 0 <= found[row]["low"] <= found[row]["score"] <= found[row]["high"] <= 1
    assert sum(map(sum, found["confusion"])) == len(ELSEWHERE)

    table = call("evaluate", "finished", *options)
    assert "this is opening 2, and recorded" in table.stderr
    assert "On the search's own test split" in table.stdout
    stored = [each for each in finished._store.evaluations(finished.id) if each.source == other]
    assert [each.purpose for each in stored] == ["evaluate", "evaluate"]
    assert stored[0].fingerprint == stored[1].fingerprint
    assert stored[0].result == {
        key: value for key, value in found.items() if key not in ("search", "data", "opening")
    }


def test_the_scores_are_those_of_the_predictions(other: str, finished: SearchResult) -> None:
    found = finished.evaluate(other, **COLUMNS, quiet=True)
    predicted = finished.ensemble.predict([row["body"] for row in ELSEWHERE])
    right = [each.label == row["stars"] for each, row in zip(predicted, ELSEWHERE, strict=True)]
    assert found["ensemble"]["score"] == pytest.approx(sum(right) / len(right))


def test_baselines_stand_beside_the_prompts_elsewhere(
    tiny_config: dict[str, Any], other: str, tmp_path: Path
) -> None:
    """Those that keep what they learnt, and on request those that train a model: the numbers are
    those of the search's own test where the texts are."""
    config = tiny_config | {"baselines": ["majority", "bag_of_words", "fine_tuning"]}
    config["search"] = config["search"] | {"trials": 2}
    result = autoprompt.search(write_yaml(tmp_path / "search.yaml", config), quiet=True)
    rows = result.evaluate(other, **COLUMNS, quiet=True)["baselines"]
    scores = {row["name"]: row["score"] for row in rows}
    assert scores["majority"] == 0.5
    assert scores["bag_of_words"] is not None
    assert scores["fine_tuning"] is None, "its model is not kept"
    test = result.config.splits().test
    labels = result.answers.names
    own = [
        {"text": text, "label": labels[right]}
        for text, right in zip(test.texts, test.labels, strict=True)
    ]
    path = str(write_texts(tmp_path / "own.csv", own))
    found = result.evaluate(path, retrain=True, quiet=True)
    again = {row["name"]: row["score"] for row in found["baselines"]}
    assert again == {row["name"]: row["score"] for row in result.baselines}
    shown = call("evaluate", "tiny", "--data", path, "--db", tiny_config["store"])
    assert "bag of words" in shown.stdout


def test_texts_that_the_search_saw_are_counted(finished: SearchResult) -> None:
    found = finished.evaluate(finished.record.config["data"]["path"], quiet=True)
    assert (found["texts"], found["seen"]) == (len(TEXTS), 24 + 16)


def test_what_cannot_be_evaluated_is_refused_and_leaves_nothing(
    other: str, finished: SearchResult, tmp_path: Path
) -> None:
    before = len(finished._store.evaluations(finished.id))

    def refused(error: type[Exception], words: str, **options: Any) -> None:
        with pytest.raises(error, match=words):
            finished.evaluate(quiet=True, **{"data": other, **COLUMNS, **options})
        assert len(finished._store.evaluations(finished.id)) == before

    refused(DataError, "no such file", data=str(tmp_path / "none.csv"))
    refused(DataError, "no column 'nothing'", label="nothing")
    mixed = write_texts(tmp_path / "mixed.csv", [*ELSEWHERE, {"body": "meh", "stars": "neutral"}])
    refused(DataError, "label 'neutral' .1 row. .*negative, positive", data=str(mixed))
    happy = [row for row in ELSEWHERE if row["stars"] == "positive"]
    one_sided = str(write_texts(tmp_path / "happy.csv", happy))
    refused(DataError, "no text is labelled 'negative'", data=one_sided, metric="macro_f1")
    assert finished.evaluate(one_sided, **COLUMNS, quiet=True)["texts"] == len(happy)
    before += 1

    record = finished.record
    config = record.config | {"model": record.config["model"] | {"path": str(tmp_path / "gone")}}
    finished.record = dataclasses.replace(record, config=config)
    refused(ModelError, "gone")
    finished.record = dataclasses.replace(record, state="stopped")
    refused(SearchUnfinishedError, "'finished' is stopped; only a finished one")
