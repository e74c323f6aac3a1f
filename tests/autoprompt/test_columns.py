"""A template of several columns, from the data to the answers."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import autoprompt
from autoprompt.cli import main
from autoprompt.reporting.report import render
from autoprompt.store import Store
from tests.autoprompt.test_export import run_here
from tests.conftest import write_texts, write_yaml
from tests.tiny import TEXTS

TASK = {
    "template": "Review: {thing} is\n{word}\nSentiment:",
    "label_words": {"negative": "negative", "positive": "positive"},
}
SPACE = {
    "soft": {
        "length": 2, "learning_rate": 0.05, "steps": 2, "batch_size": 4,
        "calibration": ["none", "content_free"],
    },
    "hard": {"tokens": 2, "start": "in short", "rounds": 1, "batch_size": 4},
}  # fmt: skip


def pairs() -> list[dict[str, str]]:
    parted = [(row["text"].split(" is "), row["label"]) for row in TEXTS]
    return [{"label": label, "thing": thing, "word": word} for (thing, word), label in parted]


def config(folder: Path, model: Path, **task: Any) -> Path:
    write_texts(folder / "pairs.csv", pairs())
    content = {
        "name": "pairs",
        "model": {"path": str(model), "dtype": "float32"},
        "data": {"path": "pairs.csv", "sizes": {"train": 16, "validation": 12, "test": 8}},
        "task": TASK | task,
        "space": SPACE,
        "search": {"trials": 3, "workers": 0, "rungs": 1, "cache_gib_on_disk": 0},
        "ensemble": {"size": 2},
    }
    return write_yaml(folder / "pairs.yaml", content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("columns")


@pytest.fixture(scope="module")
def db(folder: Path, tiny_folder: Path) -> str:
    url = f"sqlite:///{folder / 'store.db'}"
    autoprompt.search(config(folder, tiny_folder), db=url, quiet=True)
    return url


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def test_a_column_that_the_data_lacks(tiny_folder: Path, tmp_path: Path) -> None:
    path = config(tmp_path, tiny_folder, template="{premise} {word}:")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    result = call("search", str(path), "--db", url)
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert f"{tmp_path / 'pairs.csv'}: no column 'premise'; it has label, thing, word" in message
    assert not (tmp_path / "store.db").exists()


def test_a_template_may_not_read_the_answers(tiny_folder: Path, tmp_path: Path) -> None:
    path = config(tmp_path, tiny_folder, template="{word} {label}:")
    result = call("search", str(path), "--db", f"sqlite:///{tmp_path / 'store.db'}")
    assert result.exit_code == 2
    assert "the column of the right answers" in result.stderr.splitlines()[-1]


def test_the_answers_are_to_the_columns_by_name(db: str, tmp_path: Path) -> None:
    rows = [{"word": row["word"], "id": "7", "thing": row["thing"]} for row in pairs()[:5]]
    write_texts(tmp_path / "in.csv", rows)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write = str(tmp_path / "out.csv")
    assert call("predict", "pairs", "--input", str(tmp_path / "in.csv"), "--output", write,
                "--db", db).exit_code == 0  # fmt: skip
    with open(write, encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert written[0]["text"] == f"thing: {rows[0]['thing']}\nword: {rows[0]['word']}"
    result = call("predict", "pairs", "--input", str(tmp_path / "in.jsonl"), "--json", "--db", db)
    labels = [row["label"] for row in written]
    assert [row["label"] for row in json.loads(result.stdout)] == labels
    ensemble = autoprompt.load("pairs", db=db).ensemble
    assert [each.label for each in ensemble.predict(rows)] == labels
    swapped = [{"thing": row["word"], "word": row["thing"]} for row in rows]
    straight, other = (
        [each.probability for each in ensemble.predict(texts)] for texts in (rows, swapped)
    )
    assert straight != pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a joy"], "the columns thing, word are read of a text: give them with --input"),
        (["--input", "in.txt"], "in.txt: a text a line fills one column, and thing, word are"),
        (["--input", "in.csv"], "in.csv: no column 'word'; it has thing"),
        (["--input", "in.tsv", "--column", "x"], "so 'x' cannot stand for all of them"),
    ],
)
def test_texts_of_one_column_are_refused(
    arguments: list[str], words: str, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("a joy\n")
    write_texts(tmp_path / "in.csv", [{"thing": "a joy"}])
    result = call("predict", "pairs", *arguments, "--db", db)
    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]


def test_evaluate_export_and_report_read_the_same_columns(db: str, tmp_path: Path) -> None:
    rows = pairs()
    write_texts(tmp_path / "more.csv", rows)
    search = autoprompt.load("pairs", db=db)
    assert search.evaluate(str(tmp_path / "more.csv"), quiet=True)["texts"] == len(rows)
    exported = search.export(tmp_path / "out", ensemble=True)
    text = json.dumps({"word": rows[0]["word"], "thing": rows[0]["thing"]})
    model = search.record.config["model"]["path"]
    printed = json.loads(run_here(exported / "predict.py", "--model", model, text))
    [ours] = search.ensemble.predict(rows[:1])
    assert printed["label"] == ours.label
    assert printed["probability"] == pytest.approx(ours.probability, abs=1e-5)
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert """python predict.py --model PATH '{"thing": "...", "word": "..."}'""" in card
    assert "columns `thing`, `word`, labelled by `label`" in card
    assert "thing: the" in render(search)


def test_other_braces_of_an_older_search_stay_what_they_were(db: str) -> None:
    store = Store.open(db)
    older = {"task": {"template": "{yes} or {no}: {text}", "label_words": {"a": "b", "c": "d"}}}
    store.create_search(
        name="older", model="m", metric="accuracy", seed=0, config=older, versions={}, data={},
        validation_labels=[0],
    )  # fmt: skip
    assert store.find("older").config["task"]["columns"] == ["text"]
