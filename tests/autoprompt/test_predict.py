"""Labels for texts: from files larger than memory, down pipes, and by several searches at once."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import autoprompt
from autoprompt.cli import main
from autoprompt.cli.texts import BATCH, text_source
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import BadInputError, ModelError
from tests.conftest import DEMO_TASK, write_texts, write_yaml
from tests.tiny import save_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def db(folder: Path) -> str:
    """A store with two searches on one model, of other words and templates, and one on another."""
    write_texts(folder / "texts.csv")
    model = save_tiny_model(folder / "model")
    url = f"sqlite:///{folder / 'store.db'}"
    colours = {"negative": ("dull", "flat"), "positive": ("bright",)}
    tasks = {
        "moods": DEMO_TASK.model_dump(),
        "colours": {"template": "Review: {text} It was", "label_words": colours},
    }
    for name, task in tasks.items():
        config = {
            "name": name,
            "model": {"path": str(model), "dtype": "float32"},
            "data": {"path": "texts.csv", "sizes": {"train": 16, "validation": 12, "test": 4}},
            "task": task,
            "space": {
                "soft": {
                    "length": [1, 3], "learning_rate": 0.05, "steps": 2, "batch_size": 4,
                    "calibration": ["none", "batch"], "position": ["suffix", "prefix"],
                },
                "hard": {
                    "tokens": 2, "start": "in short", "rounds": 1, "batch_size": 4,
                    "position": "end",
                },
            },
            "search": {"trials": 3, "workers": 0, "rungs": 1, "cache_gib_on_disk": 0},
            "ensemble": {"size": 3},
        }  # fmt: skip
        autoprompt.search(write_yaml(folder / "search.yaml", config), db=url, quiet=True)
    return url


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["predict", *arguments])


def texts(count: int) -> list[str]:
    return [f'film {number}, "a joy"' for number in range(count)]


# Several searches


def same(one: Any, other: Any) -> bool:
    alike = (one.text, one.label, one.votes) == (other.text, other.label, other.votes)
    return alike and one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_several_searches_say_together_what_each_says_alone(db: str) -> None:
    tasks = autoprompt.load(["moods", "colours"], db=db)
    given = texts(7)
    together = tasks.predict(given)
    assert [list(each) for each in together] == [["moods", "colours"]] * 7
    for name in ("moods", "colours"):
        alone = autoprompt.load(name, db=db).ensemble.predict(given)
        assert all(same(row[name], each) for row, each in zip(together, alone, strict=True))
        assert len({each.probability for each in alone}) > 1


def test_each_search_labels_its_own_texts(db: str) -> None:
    predictor = autoprompt.load(["moods", "colours"], db=db).predictor
    given = texts(7)
    whole = predictor.predict(given)
    found = predictor.answer({"colours": [given[2], given[0]], "moods": [*given[3:6], given[0]]})
    assert set(found) == {"colours", "moods"}
    for name, places in (("colours", [2, 0]), ("moods", [3, 4, 5, 0])):
        expected = [whole[name][place] for place in places]
        assert all(map(same, found[name], expected))
        assert len(found[name]) == len(expected)
    assert predictor.answer({"moods": []}) == {"moods": []}


def test_blocks_of_several_tasks_share_a_pass(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = autoprompt.load(["moods", "colours"], db=db).predictor
    model = predictor._mixture._model
    passes: list[int] = []
    honest = model.logits

    def counting(keep: Any, **arguments: Any) -> Any:
        passes.append(arguments["inputs_embeds"].shape[1])
        return honest(keep, **arguments)

    predictor.predict(["a joy"])
    monkeypatch.setattr(model, "logits", counting)
    predictor.predict(["a joy"])
    prefixes = [
        member
        for ensemble in predictor._ensembles
        for member in ensemble.members
        if autoprompt.load(ensemble.search.name, db=db).trials[member.number].plan["position"]
        == "prefix"
    ]
    # One over the texts and one for all that stands behind them.
    assert len(passes) <= 2 + 2 * len(prefixes)


def test_searches_on_two_models_are_refused(db: str, folder: Path) -> None:
    tasks = autoprompt.load(["moods", "colours"], db=db)
    tasks["colours"].record.versions["model"] = "another"
    with pytest.raises(BadInputError, match="'moods' and 'colours' are on different models"):
        tasks.predict(["a joy"])


@pytest.mark.parametrize("change", ["gone", "replaced"])
def test_a_model_that_is_no_longer_what_it_was(change: str, db: str, folder: Path) -> None:
    model = folder / "model"
    kept = model.rename(folder / "kept")
    try:
        if change == "replaced":
            save_tiny_model(model, initializer_range=0.1)
        result = autoprompt.load("moods", db=db)
        wanted = "no such file or folder" if change == "gone" else "not the one that search"
        with pytest.raises(ModelError, match=wanted) as caught:
            result.ensemble.predict(["a joy"])
        assert "\n" not in str(caught.value)
        assert "'moods'" in str(caught.value)
        assert call("moods", "a joy", "--db", db).exit_code == 2
    finally:
        for file in model.glob("*") if model.exists() else ():
            file.unlink()
        if model.exists():
            model.rmdir()
        kept.rename(model)


# Files


def test_every_kind_of_file_in_and_out(db: str, tmp_path: Path) -> None:
    given = ["a joy", 'dull, "very"', "so\nso"]
    rows = [{"id": str(number), "text": text} for number, text in enumerate(given)]
    write_texts(tmp_path / "in.csv", rows)
    with (tmp_path / "in.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["text"], *([text] for text in given)])
    for name in ("in.jsonl", "in.json"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source in ("in.csv", "in.tsv", "in.jsonl", "in.json"):
        for form in ("csv", "jsonl"):
            output = tmp_path / f"{source}.{form}"
            result = call(
                "moods", "--search", "colours", "--input", str(tmp_path / source),
                "--output", str(output), "--db", db,
            )  # fmt: skip
            assert result.exit_code == 0, result.output
            assert result.stdout == ""
            with output.open(newline="") as file:
                found = list(csv.DictReader(file)) if form == "csv" else list(map(json.loads, file))
            assert [row["text"] for row in found] == [text for text in given for _ in range(2)]
            assert [row["search"] for row in found] == ["moods", "colours"] * 3
            if form == "csv":
                assert {"p_negative", "p_positive"} <= found[0].keys()
    assert not list(tmp_path.glob("*.unfinished"))


def test_order_is_kept_over_batches_and_json_is_one_document(db: str, tmp_path: Path) -> None:
    given = texts(2 * BATCH + 10)
    (tmp_path / "in.txt").write_text("\n".join(given), encoding="utf-8")
    result = call("moods", "--input", str(tmp_path / "in.txt"), "--json", "--db", db)
    assert [row["text"] for row in json.loads(result.stdout)] == given
    result = call("moods", "--input", str(tmp_path / "in.txt"), "--db", db)
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == given
    assert f"{2 * BATCH + 10}" not in result.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "good\n\nbad\n", "a.txt: text 2 is empty"),
        ("a.txt", "", "a.txt: holds no texts"),
        ("a.txt", b"good\n\xff\xfe\n", "a.txt: line 2 is not UTF-8"),
        ("a.csv", "body\nx\n", "no column 'text'; it has body"),
        ("a.csv", 'text\n"open\n', "a.csv: line 2"),
        ("a.csv", "id,text\n1,good\n2\n", "a.csv: text 2 is empty"),
        ("a.jsonl", '{"text": "x"}\n{"body": 1}\n', "line 2 has no 'text': it has body"),
        ("a.jsonl", '{"text": "x"}\nx\n', "line 2 is not JSON"),
        ("a.doc", "x", "unknown kind of file"),
    ],
)
def test_a_bad_file_is_refused_before_the_model_is_loaded(
    name: str, content: str | bytes, words: str, db: str, tmp_path: Path
) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(raw)
    output = tmp_path / "out.csv"
    result = call("moods", "--input", str(tmp_path / name), "--output", str(output), "--db", db)
    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]
    assert "loading" not in result.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("text\n" + "a rather long text, again and again\n" * 100_000)
    import tracemalloc

    source = text_source(str(path), None, {"text": "text"})
    tracemalloc.start()
    assert sum(map(len, source.batches())) == source.total == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < path.stat().st_size


# Pipes


@pytest.fixture
def piped(db: str) -> Iterator[Any]:
    command = [
        sys.executable,
        "-c",
        "from autoprompt.cli import main; main()",
        "predict",
        "moods",
        "--input",
        "-",
    ]
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*command, "--db", db, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def test_what_comes_down_a_pipe_is_labelled_as_it_comes(piped: Any) -> None:
    """The answer to a line is there before the next line is sent, and before the input ends."""
    process = piped()
    for text in ("a joy", "dull"):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == text
    process.stdin.write("no line's end")
    process.stdin.close()
    assert json.loads(process.stdout.readline())["text"] == "no line's end"
    assert process.wait(60) == 0


def test_a_reader_that_leaves_ends_it_quietly(piped: Any) -> None:
    process = piped("--input-format", "csv", "--output-format", "csv")
    process.stdin.write("text\n" + "a joy\n" * (4 * BATCH))
    process.stdin.flush()
    assert process.stdout.readline().startswith("text,label")
    process.stdout.close()
    process.stdin.write("dull\n" * (4 * BATCH))
    process.stdin.close()
    assert process.wait(60) == 1
    assert "Traceback" not in (said := process.stderr.read())
    assert "Exception" not in said


def test_texts_before_a_bad_one_are_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.write(write, b"good\nbad\n \nlate\n")
    os.close(write)
    with open(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        batches = text_source("-", None, {"text": "text"}).batches()
        assert next(batches) == ["good", "bad"]
        with pytest.raises(BadInputError, match="stdin: text 3 is empty"):
            next(batches)


def test_a_single_result_is_still_a_result(db: str) -> None:
    assert isinstance(autoprompt.load("moods", db=db), SearchResult)
