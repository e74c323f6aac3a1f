"""The command line: its contract, its exit codes, and one clear line for whatever is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autoprompt.cli import main
from autoprompt.cli.main import COMMANDS
from tests.conftest import DEMO_TASK, write_texts, write_yaml
from tests.tiny import TEXTS


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="module")
def db(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one finished search, made through the command line."""
    folder = tmp_path_factory.mktemp("cli")
    write_texts(folder / "texts.csv")
    config = {
        "model": str(tiny_folder),
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": DEMO_TASK.model_dump(),
        "space": {
            "soft": {"length": [1, 2], "learning_rate": 0.05, "steps": 4, "batch_size": 4},
            "hard": {"tokens": 2, "start": "in short", "rounds": 4, "batch_size": 4},
        },
        "search": {"trials": 3, "workers": 0},
        "ensemble": {"size": 2},
    }
    url = f"sqlite:///{folder / 'store.db'}"
    path = write_yaml(folder / "first.yaml", config)
    result = call("search", str(path), "--trials", "4", "--seed", "1", "--db", url, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["name"] == "first"
    assert sum(document["trials"].values()) == 4
    return url


def test_show_holds_the_contracts_keys(db: str) -> None:
    document = json.loads(call("show", "latest", "--db", db, "--json").stdout)
    assert {
        "id", "name", "state", "model", "metric", "trials", "best", "ensemble", "test",
    } <= document.keys()  # fmt: skip
    assert set(document["trials"]) == {"running", "complete", "pruned", "failed", "stopped"}
    for row in ("best", "ensemble"):
        assert {"score", "low", "high"} <= document["test"][row].keys()
    assert document["seed"] == 1
    assert {"autoprompt", "code", "torch", "model", "data"} <= document["versions"].keys()


def test_trials_hold_the_contracts_keys(db: str) -> None:
    document = json.loads(call("trials", "first", "--db", db, "--json").stdout)
    assert [trial["number"] for trial in document] == [0, 1, 2, 3]
    for trial in document:
        assert {
            "number", "state", "kind", "score", "params", "prompt", "seconds", "error",
        } <= trial.keys()  # fmt: skip


@pytest.mark.parametrize("command", ["list", "show latest", "trials 1", "ensemble first"])
def test_people_get_a_table_and_scripts_one_document(command: str, db: str) -> None:
    table = call(*command.split(), "--db", db)
    assert table.exit_code == 0
    assert "\x1b[" not in table.stdout, "colours in a pipe"
    assert len(table.stdout.splitlines()) > 4
    document = call(*command.split(), "--db", db, "--json")
    json.loads(document.stdout)
    assert document.stderr == ""


def test_ensemble_tries_another_size_and_vote(db: str) -> None:
    options = ["--size", "3", "--vote", "weighted", "--select", "greedy"]
    document = json.loads(call("ensemble", "first", *options, "--db", db, "--json").stdout)
    assert (document["vote"], document["select"]) == ("weighted", "greedy")
    assert 1 <= len(document["members"]) == document["size"] <= 3
    assert document["test"] is None
    assert document["validation"]["ensemble"]["score"] >= max(
        member["validation"]["score"] for member in document["members"]
    )


def test_the_stored_ensemble_has_votes_agreement_and_both_scores(db: str) -> None:
    document = json.loads(call("ensemble", "first", "--db", db, "--json").stdout)
    shown = json.loads(call("show", "first", "--db", db, "--json").stdout)
    assert document["test"]["ensemble"] == shown["test"]["ensemble"]
    for split, texts in (("validation", 16), ("test", 20)):
        assert document[split]["texts"] == texts
        for row in ("ensemble", "best_member", "mean"):
            scored = document[split][row]
            assert scored["low"] <= scored["score"] <= scored["high"]
            assert scored["method"] == ("bootstrap" if row == "mean" else "wilson")
    count = document["size"]
    assert len(document["agreement"]["pairs"]) == count
    assert 0 <= document["agreement"]["mean"] <= 1
    for member in document["members"]:
        assert member["votes"] == 1
        assert {"validation", "test", "number", "kind", "prompt"} <= member.keys()
    (opening,) = shown["openings"]
    assert opening["source"] == "test"
    assert "@" in opening["opened_by"]
    assert isinstance(shown["warnings"], list)


def test_predict_from_arguments_and_files(db: str, tmp_path: Path) -> None:
    found = json.loads(call("predict", "latest", "a joy", "dull", "--db", db, "--json").stdout)
    assert [row["text"] for row in found] == ["a joy", "dull"]
    assert {"text", "label", "probability", "votes", "probabilities", "reason"} == found[0].keys()
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)

    table = write_texts(tmp_path / "in.csv", TEXTS[:5])
    (tmp_path / "in.txt").write_text("a joy\ndull\n", encoding="utf-8")
    for source, count in ((table, 5), (tmp_path / "in.txt", 2)):
        for suffix in (".csv", ".jsonl"):
            output = tmp_path / f"{source.suffix[1:]}{suffix}"
            result = call(
                "predict", "latest", "--input", str(source), "--output", str(output), "--db", db
            )
            assert result.exit_code == 0, result.output
            lines = output.read_text(encoding="utf-8").splitlines()
            assert len(lines) == count + (suffix == ".csv")


def test_spaces_are_listed_and_printed_to_copy(tmp_path: Path) -> None:
    assert "quick" in call("spaces").stdout
    (tmp_path / "mine.yaml").write_text(call("spaces", "soft").stdout, encoding="utf-8")
    from autoprompt.search_spaces import load_space

    assert load_space("mine.yaml", tmp_path, "x") == load_space("soft", Path(), "x")
    assert call("spaces", "huge").exit_code == 2


def test_every_command_has_help() -> None:
    overview = call("--help").stdout
    for name, summary in COMMANDS.items():
        assert name in overview
        detail = call(name, "--help")
        assert detail.exit_code == 0
        assert summary in " ".join(detail.stdout.split())


def test_the_store_comes_from_the_environment_when_not_given(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_DB", db)
    assert json.loads(call("list", "--json").stdout)[0]["name"] == "first"


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    assert len(errors) == 1, lines
    assert errors[0] == lines[-1]
    assert "Traceback" not in result.output
    for word in words:
        assert word in errors[0]


def test_what_is_not_there(db: str, tmp_path: Path) -> None:
    refused(call("show", "nine", "--db", db), "no search 'nine'")
    refused(call("show", "latest", "--db", f"sqlite:///{tmp_path / 'no.db'}"), "no such file")
    refused(call("predict", "latest", "--db", db), "either texts or --input")
    refused(call("predict", "latest", "--input", "none.csv", "--db", db), "none.csv: no such file")
    (tmp_path / "there.csv").write_text("mine")
    refused(
        call("predict", "latest", "x", "--output", str(tmp_path / "there.csv"), "--db", db),
        "exists",
    )
    assert (tmp_path / "there.csv").read_text() == "mine"


Change = Callable[[dict[str, Any], Path], None]


def set_key(path: str, value: Any) -> Change:
    def change(config: dict[str, Any], _folder: Path) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config[parent]
        config[last] = value

    return change


def both(*changes: Change) -> Change:
    def change(config: dict[str, Any], folder: Path) -> None:
        for each in changes:
            each(config, folder)

    return change


def write_data(rows: list[dict[str, str]]) -> Change:
    return lambda _config, folder: write_texts(folder / "texts.csv", rows) and None


BAD_INPUT: dict[str, tuple[Change, list[str]]] = {
    "a misspelt key": (set_key("search.trails", 3), ["search.yaml", "search.trails", "'trials'"]),
    "a missing data file": (set_key("data.path", "none.csv"), ["none.csv", "no such file"]),
    "a missing column": (set_key("data.text", "body"), ["texts.csv", "'body'", "text, label"]),
    "a label without a word": (
        write_data([*TEXTS, {"text": "meh", "label": "neutral"}]),
        ["texts.csv", "'neutral'", "label_words"],
    ),
    "words that begin alike": (
        set_key("task.label_words", {"negative": "dull", "positive": "dull not"}),
        ["search.yaml", "task.label_words", "same token"],
    ),
    "an empty split": (set_key("data.sizes.test", 0.001), ["texts.csv", "test", "empty"]),
    "an empty text": (
        write_data([*TEXTS, {"text": "", "label": "positive"}]),
        ["texts.csv", "'text' is empty in row 113"],
    ),
    "a reversed range": (
        set_key("space.soft.length", {"low": 4, "high": 1}),
        ["search.yaml", "space", "soft.length", "reversed"],
    ),
    "an unknown kind": (set_key("space.mixde", {}), ["space", "mixde", "'mixed'"]),
    "a folder that is no model": (set_key("model.path", "."), ["not a model folder"]),
    "a missing model": (set_key("model.path", "./none"), ["none", "no such file or folder"]),
    "a prompt that leaves no room": (
        set_key("space.soft.length", 64),
        ["search.yaml", "no room", "soft.length"],
    ),
    "a prompt that this family has no place for": (
        set_key("space.soft.position", "decoder"),
        ["search.yaml", "position decoder", "causal", "both, end, prefix, suffix"],
    ),
    "label words that would run into the prompt": (
        both(set_key("task.template", "{text}\n"), set_key("space.hard.position", "end")),
        ["search.yaml", "hard.position end", "white space", "colon"],
    ),
    "a database that cannot be opened": (
        set_key("store", "sqlite:////none/at/all.db"),
        ["sqlite:////none/at/all.db", "no folder"],
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused_before_anything_is_written(
    name: str, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    change, words = BAD_INPUT[name]
    tiny_config["store"] = f"sqlite:///{tmp_path / 'never.db'}"
    change(tiny_config, tmp_path)
    result = call("search", str(write_yaml(tmp_path / "search.yaml", tiny_config)))
    refused(result, *words)
    assert not (tmp_path / "never.db").exists()


def test_set_reaches_the_search_and_options_come_before_it(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    path = str(write_yaml(tmp_path / "search.yaml", tiny_config))
    given = ["--set", "search.trials=5", "--set", "name=mine", "--set", "baselines=null"]
    result = call("search", *given, "--trials", "2", "--json", path)
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["name"] == "mine"
    assert sum(shown["trials"].values()) == 2
    refused(call("search", "--set", "search.trails=5", path), "'search.trails'", "'trials'")
    refused(call("submit", "--set", "search.trails=5", path), "'search.trails'", "'trials'")


def test_yaml_that_does_not_parse(tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text("name: [x\n", encoding="utf-8")
    refused(call("search", str(tmp_path / "search.yaml")), "search.yaml:2:1", "not valid YAML")
    refused(call("search", str(tmp_path / "none.yaml")), "none.yaml: no such file")


def test_texts_longer_than_the_model_takes_are_cut_and_counted_once(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    long = [{"text": row["text"] + " and so on" * 40, "label": row["label"]} for row in TEXTS[:7]]
    write_texts(tmp_path / "texts.csv", long + TEXTS[7:])
    tiny_config["search"]["trials"] = 1
    tiny_config["data"]["sizes"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    result = call("search", str(write_yaml(tmp_path / "search.yaml", tiny_config)))
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if "longer than" in line]
    assert len(told) == 1
    assert told[0].startswith("7 of 112 texts are longer than the ")


def test_a_model_whose_texts_cannot_be_kept_is_searched_the_slow_way_and_said_so(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A recurrent model would need a kernel of its own.
    for module in ("preparation.prepare", "workers.frozen_model"):
        monkeypatch.setattr(f"autoprompt.{module}.keeps_whole_text", lambda config: False)
    tiny_config["search"]["trials"] = 1
    result = call("search", str(write_yaml(tmp_path / "search.yaml", tiny_config)))
    assert result.exit_code == 0, result.output
    assert "model has layers that keep no plain keys and values of a text" in result.stderr
    assert "tokens: nothing is kept of them" in result.stderr


def test_texts_beyond_a_models_window_are_searched_the_slow_way_and_said_so(
    tiny_config: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "sliding")
    described = json.loads((tiny_folder / "config.json").read_text(encoding="utf-8"))
    described |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    described["sliding_window"] = 4
    (tmp_path / "sliding" / "config.json").write_text(json.dumps(described), encoding="utf-8")
    tiny_config["model"]["path"] = str(tmp_path / "sliding")
    tiny_config["search"]["trials"] = 1
    config = str(write_yaml(tmp_path / "search.yaml", tiny_config))
    result = call("search", config)
    assert result.exit_code == 0, result.output
    assert "60 of 60 texts do not fit the 4 tokens that some layers of " in result.stderr
    assert "tokens: nothing is kept of them" in result.stderr
    listed = call("trials", "latest", "--json", "--db", tiny_config["store"])
    [trial] = json.loads(listed.stdout)
    assert trial["state"] == "complete"


def test_a_search_whose_every_trial_fails_exits_1(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["space"] = {"soft": {"length": 1, "learning_rate": 1e38, "steps": 4}}
    tiny_config["search"]["trials"] = 2
    result = call("search", str(write_yaml(tmp_path / "search.yaml", tiny_config)))
    assert result.exit_code == 1
    assert "every trial of search 'tiny' failed; trial 0: RuntimeError: " in result.stderr
