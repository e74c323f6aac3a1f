"""A search of the whole question: what is proposed, stored, shown, resumed and refused."""

import html
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.api import load
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import AutopromptError, BadInputError
from autoprompt.workers.prompt import Prompt
from tests.autoprompt import test_kv_search
from tests.conftest import DEMO_TASK, write_yaml
from tests.tiny import TEXTS, save_tiny_bert, save_tiny_model

SOFT = {"length": 2, "learning_rate": 0.05, "steps": 4, "batch_size": 4}
SPACE: dict[str, Any] = {
    "template": ["Review: {text}\nSentiment:", "Review: {text}\nIn short:"],
    "label_words": {"propose": 3, "candidates": 20, "words": 2},
    "demonstrations": {"count": [0, 2], "choose": ["random", "central"]},
    "hard": {
        "searcher": ["none", "swaps", "edits", "rewriting", "policy"],
        "tokens": 4,
        "start": "in short",
        "candidates": 4,
        "rounds": 2,
        "batch_size": 4,
        "calibration": ["none", "batch"],
        "phrases": ["the film", "in short", "a joy"],
    },
    "soft": SOFT,
    "kv": SOFT,
}


def config_of(folder: Path, model: Path, space: dict[str, Any]) -> dict[str, Any]:
    search = {"trials": 12, "workers": 0, "seed": 45, "rungs": 1, "cache_gib_on_disk": 0}
    return test_kv_search.config_of(folder, model, name="question", space=space, search=search)


@pytest.fixture(scope="module")
def url(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("question")
    url = f"sqlite:///{folder / 'store.db'}"
    path = write_yaml(folder / "question.yaml", config_of(folder, tiny_folder, SPACE))
    autoprompt.search(path, db=url, quiet=True)
    return url


@pytest.fixture
def searched(url: str) -> SearchResult:
    return load(db=url)


def test_every_searcher_kind_and_question_is_stored(searched: SearchResult) -> None:
    failed = [trial.error for trial in searched.trials if trial.error]
    assert not failed
    plans = [trial.plan for trial in searched.trials]
    assert {plan["kind"] for plan in plans} == {"soft", "hard", "kv"}
    assert {plan["template"] for plan in plans} == set(SPACE["template"])
    assert {plan.get("demonstrations", 0) for plan in plans} == {0, 2}
    assert len({json.dumps(plan["label_words"]) for plan in plans}) > 2
    # The first ten are drawn at random, so what they are hangs on no score.
    searchers = {plan["searcher"] for plan in plans[:10] if plan["kind"] == "hard"}
    assert searchers == set(SPACE["hard"]["searcher"])
    found = searched.record.config["space"]["label_words"]["found"]
    assert set(found) == set(SPACE["template"])
    own = {label: list(words) for label, words in DEMO_TASK.label_words.items()}
    assert all(sets[0] == own for sets in found.values())


def test_a_hard_prompt_is_shown_as_the_whole_question(searched: SearchResult, url: str) -> None:
    hard = [trial for trial in searched.trials if trial.kind == "hard"]
    for trial in hard:
        assert trial.prompt is not None
        assert "Review: {text}" in trial.prompt
    shown = CliRunner().invoke(main, ["trials", "latest", "--json", "--db", url])
    rows = json.loads(shown.stdout)
    assert {row["number"]: row["prompt"] for row in rows if row["kind"] == "hard"} == {
        trial.number: trial.prompt for trial in hard
    }


def test_members_of_several_questions_vote(searched: SearchResult) -> None:
    assert searched.test is not None
    labels = [each.label for each in searched.ensemble.predict(["a joy", "dull and flat"])]
    assert set(labels) <= set(DEMO_TASK.label_words)


def test_a_search_that_died_goes_on_with_what_was_proposed(
    searched: SearchResult, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_asks(*_: Any) -> None:
        raise AssertionError("label words were proposed again")

    copy = tmp_path / "store.db"
    with (
        closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as whole,
        closing(sqlite3.connect(copy)) as connection,
    ):
        whole.backup(connection)
        connection.execute("pragma foreign_keys = on")
        connection.execute("update searches set state='stopped', finished_at=null")
        connection.execute("delete from trials where number >= 8")
        connection.commit()
    monkeypatch.setattr("autoprompt.controller.pinned_words.proposed_label_words", nobody_asks)
    result = autoprompt.resume("latest", db=f"sqlite:///{copy}", quiet=True)
    assert not [trial.error for trial in result.trials if trial.error]
    assert [trial.params for trial in result.trials] == [trial.params for trial in searched.trials]
    assert [trial.score for trial in result.trials] == [trial.score for trial in searched.trials]


def test_texts_that_proposals_were_made_from_are_encoded_once(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    space = {"label_words": SPACE["label_words"], "soft": SOFT}
    config = config_of(tmp_path, tiny_folder, space)
    config["search"] |= {"trials": 2, "cache_gib_on_disk": 1}
    path = write_yaml(tmp_path / "once.yaml", config)
    result = autoprompt.search(path, db=f"sqlite:///{tmp_path / 'once.db'}", quiet=True)
    assert not [trial.error for trial in result.trials if trial.error]
    assert sum(trial.texts_encoded for trial in result.trials) == 0


def test_hard_prompts_are_scored_on_another_model(
    searched: SearchResult, url: str, tmp_path: Path
) -> None:
    other = save_tiny_model(tmp_path / "other", hidden_size=48, num_attention_heads=4)
    found = searched.on_other_model(str(other), quiet=True)
    assert found["texts"] == 16
    assert len(found["prompts"]) > 2
    again = searched.on_other_model(str(searched.record.config["model"]["path"]), quiet=True)
    records = searched.prompts([row["trial"] for row in again["prompts"]])
    # On its own model a prompt scores what it did, but for a calibration that does not travel.
    plain = [record for record in records if not Prompt.from_bytes(record.content).prior]
    assert plain
    same = {row["trial"]: row for row in again["prompts"]}
    for record in plain:
        assert same[record.number]["there"]["score"] == record.score
    told = CliRunner().invoke(main, ["evaluate", "latest", "--model", str(other), "--db", url])
    assert told.exit_code == 0, told.output
    assert "zero-shot: the template alone" in told.stdout
    for options in (["--model", str(other), "--metric", "accuracy"], []):
        assert (
            CliRunner().invoke(main, ["evaluate", "latest", "--db", url, *options]).exit_code == 2
        )


def test_the_labels_own_names_are_their_words(tiny_folder: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path, tiny_folder, {"soft": SOFT})
    del config["task"]["label_words"]
    prepared = prepare(
        SearchConfig.read(write_yaml(tmp_path / "named.yaml", config)), SearchProgress(quiet=True)
    )
    assert prepared.config.task.label_words == {
        "negative": ("negative",), "positive": ("positive",),
    }  # fmt: skip


def test_what_is_optional_is_left_out_where_it_does_not_fit(
    tiny_folder: Path, tmp_path: Path
) -> None:
    space = {
        "demonstrations": {"count": [0, 2, 8]},
        "optional": ["demonstrations"],
        "hard": {"searcher": "none"},
    }
    path = write_yaml(tmp_path / "few.yaml", config_of(tmp_path, tiny_folder, space))
    prepared = prepare(SearchConfig.read(path), SearchProgress(quiet=True))
    shown = prepared.config.space.demonstrations
    assert shown is not None
    assert shown.count == (0, 2)


def test_built_in_templates_begin_as_the_tasks_own(tiny_folder: Path, tmp_path: Path) -> None:
    space = {"template": "built_in", "hard": {"searcher": "none"}}
    config = config_of(tmp_path, tiny_folder, space)
    path = write_yaml(tmp_path / "built_in.yaml", config)
    prepared = prepare(SearchConfig.read(path), SearchProgress(quiet=True))
    templates = prepared.config.space.templates
    assert templates[0] == DEMO_TASK.template
    assert len(templates) > 5
    assert all(template.startswith("Review: {text}") for template in templates)


HARD = {"start": "in short", "rounds": 1}


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            {"template": ["{text}:", "no text at all"], "hard": HARD},
            "space: template: the template must hold {text} exactly once",
        ),
        ({"template": "{text} {hard} {other}", "hard": HARD}, "reads the column 'other'"),
        (
            {"label_words": [{"negative": "bad", "other": "good"}], "soft": SOFT},
            "words for negative, other, and the labels are negative, positive",
        ),
        (
            {"template": "{text} {hard} is {hard}", "hard": HARD | {"searcher": "edits"}},
            "edits write one phrase",
        ),
        ({"hard": HARD | {"searcher": "edits", "position": "both"}}, "position both has several"),
        (
            {"demonstrations": {"count": 4}, "hard": HARD | {"batch_size": 22}},
            "4 and a batch of 22 are more than the train texts; show at most 2",
        ),
        ({"demonstrations": {"count": 8}, "hard": HARD}, "leave no room in the 64 tokens"),
        ({"hard": HARD | {"searcher": "rewriting", "writer": "nobody/nothing"}}, "nobody/nothing"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_before_any_trial(
    space: dict[str, Any], words: str, tiny_folder: Path, tmp_path: Path
) -> None:
    path = write_yaml(tmp_path / "bad.yaml", config_of(tmp_path, tiny_folder, space))
    with pytest.raises(AutopromptError, match=words) as refused:
        prepare(SearchConfig.read(path), SearchProgress(quiet=True))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"label_words": [{"negative": "far too long", "positive": "great"}], "soft": SOFT},
            "fills a mask with one; choose words of one token",
        ),
        ({"hard": HARD | {"fluency": 0.1}}, "says nothing of how fluent words are"),
        ({"hard": HARD | {"searcher": "rewriting"}}, "writes nothing; name a causal model"),
    ],
)
def test_what_a_masked_model_cannot_do_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    config = config_of(tmp_path, save_tiny_bert(tmp_path / "bert"), changes)
    config["task"] |= {"template": "{text} It was {mask}.", "label_words": {
        "negative": "dull", "positive": "great"}}  # fmt: skip
    path = write_yaml(tmp_path / "masked.yaml", config)
    with pytest.raises(BadInputError, match=words):
        prepare(SearchConfig.read(path), SearchProgress(quiet=True))


def test_a_report_without_texts_shows_no_demonstrations(
    searched: SearchResult, url: str, tmp_path: Path
) -> None:
    texts = [row["text"] for row in TEXTS]
    shown = {
        trial.number
        for trial in searched.trials
        if trial.kind == "hard" and trial.plan.get("demonstrations")
    }
    assert shown
    for number, options in enumerate(([], ["--no-texts", "--explain"])):
        out = tmp_path / f"{number}.html"
        command = ["report", "latest", "--db", url, "--out", str(out), *options]
        told = CliRunner().invoke(main, command)
        assert told.exit_code == 0, told.output
        page = out.read_text(encoding="utf-8")
        assert any(html.escape(text) in page for text in texts) == (not options)
        assert ("What the best prompt's parts do" in page.replace("&#39;", "'")) == bool(options)


def test_what_vectors_mean_is_scored_as_words(searched: SearchResult, url: str) -> None:
    soft = next(trial for trial in searched.leaderboard if trial.kind == "soft")
    explained = searched.explain(soft.number, quiet=True)
    assert len(explained["positions"]) == soft.plan["length"]
    for row in explained["positions"]:
        assert [near["cosine"] for near in row["nearest"]] == sorted(
            (near["cosine"] for near in row["nearest"]), reverse=True
        )
        assert row["token"] == row["nearest"][0]["token"]
        assert 0 <= row["flips"] <= explained["texts"]
        assert len(row["flipped"]) == min(row["flips"], 3)
    words = explained["as_words"]
    [record] = searched.prompts([soft.number])
    prompt = Prompt.from_bytes(record.content)
    assert 0 <= words["agrees"] <= 1
    behind = explained["score"] - words["score"]
    assert (explained["warning"] is not None) == (behind > 0.02)
    assert prompt.vectors is not None
    told = CliRunner().invoke(main, ["show", "latest", "--explain", "--db", url])
    assert told.exit_code == 0, told.output
    assert "texts flip" in told.stdout
    assert "Best in words (trial" in told.stdout
    # In a table a question is one line.
    assert "Review: {text}⏎" in "".join(told.stdout.split("\n"))
