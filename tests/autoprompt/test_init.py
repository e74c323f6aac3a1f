"""`autoprompt init`: a YAML from a file's columns, whose search runs as it is."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from autoprompt.cli import main
from tests.conftest import write_texts
from tests.tiny import TEXTS


def init(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


def rows(count: int, *labels: str, **more: str) -> list[dict[str, str]]:
    return [
        {"body": f"ticket number {number}", "team": labels[number % len(labels)], **more}
        for number in range(count)
    ]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    return content


def test_the_search_runs_as_it_is(tiny_folder: Path, tmp_path: Path) -> None:
    write_texts(tmp_path / "reviews.csv")
    made = init("reviews.csv", "--model", str(tiny_folder))
    assert made.exit_code == 0, made.output
    assert made.stdout == "Next:\n  autoprompt search reviews.yaml\n"
    # In this process and a small space, for the test to be quick.
    less = ["--set", "search.workers=0", "--set", "search.cache_gib_on_disk=0", "--trials", "2"]
    less += ["--set", "space={soft: {length: 1, learning_rate: 0.1, steps: 2}}"]
    found = CliRunner().invoke(main, ["search", *less, "--json", "reviews.yaml"])
    assert found.exit_code == 0, found.stderr
    shown = json.loads(found.stdout)
    assert (shown["name"], shown["state"]) == ("reviews", "finished")
    assert shown["test"]["best"]["score"] >= 0


def test_its_first_line_names_the_schema_that_it_fits(tmp_path: Path) -> None:
    write_texts(tmp_path / "reviews.csv")
    assert init("reviews.csv").exit_code == 0
    text = Path("reviews.yaml").read_text(encoding="utf-8")
    named = re.match(r"# yaml-language-server: \$schema=file://(\S+)\n", text)
    assert named
    schema = json.loads(Path(named[1]).read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema)
    assert len(re.findall(r"# \w", text)) > 12, "it explains itself"


def test_columns_are_found_by_what_is_in_them(tmp_path: Path) -> None:
    write_texts(tmp_path / "tickets.csv", rows(90, "billing", "tech_support", "on", id="1"))
    made = init("tickets.csv")
    assert made.exit_code == 0, made.output
    content = written("tickets.yaml")
    assert content["data"] == {
        "path": "tickets.csv",
        "text": "body",
        "label": "team",
        "sizes": {"train": 45, "validation": 18, "test": 27},
        "balanced": True,
    }
    assert content["task"]["template"] == "Body: {text}\nTeam:"
    assert content["task"]["label_words"] == {
        "billing": "billing",
        "on": "on",
        "tech_support": "tech support",
    }
    assert content["task"]["label_scoring"] == "tree"


def test_a_word_that_goes_on_another_is_scored_by_its_mean(tmp_path: Path) -> None:
    write_texts(tmp_path / "levels.csv", rows(40, "1", "10"))
    assert init("levels.csv").exit_code == 0
    task = written("levels.yaml")["task"]
    assert (task["label_words"], task["label_scoring"]) == ({"1": "1", "10": "10"}, "mean")


def test_uneven_labels_are_not_thinned_out(tmp_path: Path) -> None:
    write_texts(tmp_path / "rare.csv", rows(100, *["often"] * 9, "rarely"))
    assert init("rare.csv").exit_code == 0
    data = written("rare.yaml")["data"]
    assert data["balanced"] is False
    assert sum(data["sizes"].values()) == 100


def test_a_path_is_seen_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "searches").mkdir()
    write_texts(tmp_path / "reviews.csv")
    (tmp_path / "model").mkdir()
    made = init("reviews.csv", "--model", "model", "--out", "searches/first.yaml")
    assert made.exit_code == 0, made.output
    content = written("searches/first.yaml")
    assert (content["model"], content["data"]["path"]) == ("../model", "../reviews.csv")


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    write_texts(tmp_path / "reviews.csv")
    Path("reviews.yaml").write_text("mine", encoding="utf-8")
    refused = init("reviews.csv")
    assert refused.exit_code == 2
    assert refused.stderr == "Error: --out reviews.yaml: exists; name another one or remove it\n"
    assert Path("reviews.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (TEXTS, ["--label", "lable"], "no column 'lable'; it has text, label"),
        (TEXTS, ["--label", "text"], "column 'text' has 112 different values, and labels are 2"),
        (rows(40, "a", "b", day="x") + rows(40, "a", day="y"), [], "team or day may hold them"),
        ([{"body": str(number), "n": f"{number}.5"} for number in range(40)], [], "none has few"),
        (rows(40, "a"), ["--label", "team"], "column 'team' has 1 different values"),
        (rows(5, "a", "b"), [], "2 texts labelled 'b' are too few"),
        ([{"label": "a"}, {"label": "b"}], [], "no column of texts beside the labels' column"),
        (rows(40, "a", "b") + [{"body": "", "team": "a"}], [], "column 'body' is empty in row 41"),
    ],
)
def test_what_a_search_would_refuse_gets_one_line_and_no_file(
    content: list[dict[str, str]], options: list[str], words: str, tmp_path: Path
) -> None:
    write_texts(tmp_path / "data.csv", content)
    refused = init("data.csv", *options)
    assert refused.exit_code == 2
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv"]


@pytest.mark.parametrize("name", ["gone.csv", "texts.doc", "org/dataset"])
def test_what_is_no_file_of_texts_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "texts.doc").write_text("no table", encoding="utf-8")
    refused = init(name)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"Error: {name}: ")
