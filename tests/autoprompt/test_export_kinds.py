"""Exports of every kind of answers say what the search says, each by its folder's own loader."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import autoprompt
from autoprompt.ensemble.ensemble import Ensemble
from autoprompt.ensemble.predictor import Prediction, Predictor
from autoprompt.ensemble.selection import Chosen
from autoprompt.results import SearchResult
from autoprompt.workers.combination import Combination
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.rows import Row, Text
from tests.autoprompt.test_export import run, run_here
from tests.completions_server import completions_server
from tests.conftest import write_yaml
from tests.tiny import TEXTS, save_tiny_t5
from tests.voters import Voters

TOLERANCE = 1e-3
STEPS = {"learning_rate": 0.3, "steps": 3, "batch_size": 4}
WORDS = {"label_words": {"good": "great", "bad": "dull", "story": "plot"}}
THINGS = ("camera work", "plot", "dialogue in short", "score", "story")

ROWS = [
    {
        "text": row["text"],
        "good": row["label"],
        "number": 1 + place % 9 / 4,
        "topics": ["good" if row["label"] == "positive" else "bad"] + ["story"] * (place % 2),
        "said": row["text"].split(" is ")[1],
        "parts": [{"start": 4, "end": len(row["text"].split(" is ")[0]), "label": "story"}],
        "thing": row["text"].split()[1],
        "things": [*THINGS[place % 3 :][:2], row["text"].split()[1]],
    }
    for place, row in enumerate(TEXTS[::4])
]

#: Of each kind its task, and the column that holds what is right.
TASKS: dict[str, tuple[dict[str, Any], str]] = {
    "options": (
        {"template": "Review: {text}\nOf the", "options": "things", "label_scoring": "mean"},
        "thing",
    ),
    "scale": (
        {"template": "{text}:", "label_words": {"1": "dull", "2": "flat", "4": "great"}},
        "number",
    ),
    "several_labels": ({"template": "{text}:", "yes_no": ["great", "dull"], **WORDS}, "topics"),
    "text": ({"template": "{text}:", "longest_answer": 6}, "said"),
    "spans": ({"template": "{text}:", "longest_answer": 8, **WORDS}, "parts"),
}

SPACE: dict[str, Any] = {
    "soft": {"length": 2, "position": "prefix", **STEPS},
    "hard": {"tokens": 2, "start": "in short", "candidates": 4, "rounds": 1, "batch_size": 4},
    "mixed": {"length": 2, "tokens": 2, "start": "in short", "candidates": 4, **STEPS},
    "kv": {"length": 2, "position": "end", **STEPS},
}
DECODER_SPACE = {
    "soft": {"length": 2, "position": "decoder", **STEPS},
    "kv": {"length": 2, "position": "decoder", **STEPS},
}


def searched(kind: str, model: Path, folder: Path, space: dict[str, Any] = SPACE) -> SearchResult:
    """A search of a few trials."""
    task, label = TASKS[kind]
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "texts.jsonl").write_text(rows, encoding="utf-8")
    config = {
        "name": kind,
        "model": {"path": str(model), "dtype": "float32"},
        "data": {
            "path": "texts.jsonl",
            "label": label,
            "sizes": {"train": 12, "validation": 8, "test": 8},
            "balanced": False,
        },
        "task": {"answers": kind} | task,
        "space": space,
        "search": {"trials": 4, "workers": 0, "seed": 0, "rungs": 1, "cache_gib_on_disk": 0},
        "store": f"sqlite:///{folder / 'store.db'}",
    }
    found = autoprompt.search(write_yaml(folder / "search.yaml", config), quiet=True)
    # All of them vote, whether that is better than the best one by itself or not.
    members, labels = found.prompts(), found.validation_labels
    rule = replace(found.ensemble.combination, weights=(1.0, 0.5, 1.0, 1.0)[: len(members)])
    chosen = Chosen(members, rule, "top", found.ensemble.validation, labels, found.answers)
    found.ensemble = Ensemble(found.record, chosen, found.test)
    return found


@pytest.fixture(scope="module", params=list(TASKS))
def result(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> SearchResult:
    return searched(request.param, tiny_folder, tmp_path_factory.mktemp(request.param))


def asked(result: SearchResult) -> tuple[list[Text], list[str]]:
    """Texts as a search takes them, and as the loader does on its command line."""
    rows = ROWS[1:6:2]
    if result.config.task.answers != "options":
        texts = [row["text"] for row in rows]
        return list(texts), texts
    cells = [{name: row[name] for name in ("text", "things")} for row in rows]
    texts = [Row(own | {"things": json.dumps(own["things"])}) for own in cells]
    return list(texts), list(map(json.dumps, cells))


def check(printed: str, expected: Sequence[Prediction], *, calibrated: bool = True) -> None:
    """What the loader printed is what the search predicts.

    Args:
        calibrated: whether the prediction's probability is recalibrated as the folder has it.
    """
    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == len(expected)
    for row, own in zip(rows, expected, strict=True):
        if isinstance(own.label, float):
            assert row["label"] == pytest.approx(own.label, abs=TOLERANCE)
        else:
            assert row["label"] == own.label
        assert row["votes"] == pytest.approx(own.votes)
        if own.probability is None or calibrated:
            wanted = own.probability and pytest.approx(own.probability, abs=TOLERANCE)
            assert row["probability"] == wanted


def test_members_vote_as_in_the_search(
    result: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = result.export(tmp_path / "out", ensemble=True)
    assert len(result.ensemble.members) == 4
    texts, given = asked(result)
    written = sorted(folder.iterdir())
    printed = run(folder / "predict.py", "--model", str(tiny_folder), *given)
    check(printed, result.ensemble.predict(texts))
    assert sorted(folder.iterdir()) == written


def test_every_kind_of_prompt_answers_alone(
    result: SearchResult, tiny_model: FrozenModel, tiny_folder: Path, tmp_path: Path
) -> None:
    records = result.prompts()
    assert {record.kind for record in records} == {"soft", "hard", "mixed", "kv"}
    texts, given = asked(result)
    for record in records:
        folder = result.export(tmp_path / str(record.number), trial=record.number)
        vote = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["vote"]
        own = Voters(result, [record], Combination.from_dict(vote))
        expected = Predictor(tiny_model, [own]).predict(texts)[result.name]
        printed = run_here(folder / "predict.py", "--model", str(tiny_folder), *given)
        check(printed, expected)


def test_a_client_of_a_server_says_the_same(
    result: SearchResult,
    tiny_model: FrozenModel,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [record] = [record for record in result.prompts() if record.kind == "mixed"]
    folder = result.export(tmp_path / "out", "vllm", trial=record.number)
    vote = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["vote"]
    texts, given = asked(result)
    own = Voters(result, [record], Combination.from_dict(vote))
    expected = Predictor(tiny_model, [own]).predict(texts)[result.name]
    monkeypatch.setenv("VLLM_API_KEY", "made-up")
    with completions_server(tiny_folder, "tiny", "made-up") as server:
        at = ("--server", server.url, "--model", "tiny")
        check(run_here(folder / "client.py", *at, *given), expected)


def test_the_card_tells_how_the_answer_is_read(
    result: SearchResult, tiny_model: FrozenModel, tiny_folder: Path, tmp_path: Path
) -> None:
    kind = result.config.task.answers
    pipeline, does, read, example = {
        "options": (
            "multiple-choice",
            "chooses among the options",
            "by the mean of their log-probabilities",
            """'{"text": "...", "things": ["...", "..."]}'""",
        ),
        "scale": ("text-classification", "on the scale 1, 2, 4.", "the expectation", '"a text"'),
        "several_labels": (
            "text-classification", "any of good, bad, story, or none", "threshold", '"a text"',
        ),
        "text": (
            "text-generation", "writes an answer", 'up to `"\\n"`, its own end or 6', '"a text"',
        ),
        "spans": (
            "token-classification",
            "parts of a text that are good, bad, story",
            "`great: ...; dull: ...`",
            '"a text"',
        ),
    }[kind]  # fmt: skip
    [record] = [record for record in result.prompts() if record.kind == "soft"]
    folder = result.export(tmp_path / "peft", "peft", trial=record.number)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == pipeline
    for words in (does, read, f"predict.py --model PATH {example}"):
        assert words in card
    # Its own code, and the loader, read the adapter as the search reads the prompt.
    texts, given = asked(result)
    own = Predictor(tiny_model, [Voters(result, [record])])
    expected = own.predict(texts)[result.name]
    printed = run_here(folder / "predict.py", "--model", str(tiny_folder), *given)
    check(printed, expected, calibrated=False)
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    (folder / "card.py").write_text(code, encoding="utf-8")
    said = run_here(folder / "card.py", str(tiny_folder), str(folder), given[0]).splitlines()
    if kind == "scale":
        assert [line.split()[0] for line in said] == ["1", "2", "4"]
    else:
        assert said == [str(expected[0].label)]


def test_a_decoder_writes_as_in_the_search(tmp_path: Path) -> None:
    model = save_tiny_t5(tmp_path / "t5")
    result = searched("text", model, tmp_path, DECODER_SPACE)
    assert {record.kind for record in result.prompts()} == {"soft", "kv"}
    folder = result.export(tmp_path / "out", ensemble=True)
    texts, given = asked(result)
    expected = result.ensemble.predict(texts)
    assert any(own.label for own in expected)
    check(run_here(folder / "predict.py", "--model", str(model), *given), expected)
