"""Every kind of answers by every kind of prompt on causal and seq2seq models: one search each, from
its data to what leaves the house, on models that know a small language (`tests.cued`)."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.cli import main
from autoprompt.ensemble.predictor import Predictor
from autoprompt.results import SearchResult
from autoprompt.workers.rows import Text
from tests.conftest import write_yaml
from tests.cued import (
    ANIMALS,
    COLOURS,
    NUMBERS,
    Scene,
    row_of,
    save_cued_model,
    shuffled_scenes,
    write_rows,
)
from tests.voters import Voters

TASKS: dict[str, dict[str, Any]] = {
    "label_words": {"label_words": {colour: colour for colour in COLOURS}},
    "scale": {"label_words": dict(enumerate(NUMBERS, 1))},
    "several_labels": {
        "label_words": {animal: animal for animal in ANIMALS},
        "label_question": " {label}?",
    },
    "options": {"options": "options", "longest_answer": 3},
    "text": {"stop": ".", "longest_answer": 4},
    "spans": {
        "label_words": {"number": "number", "colour": "colour"},
        "stop": ".",
        "longest_answer": 9,
    },
}
FAMILIES = ("causal", "seq2seq")
PROMPTS = ("soft", "hard", "kv")

#: Where soft and KV prompts stand in each family: nothing of a text is read again.
PLACES = {"causal": ("suffix", "end"), "seq2seq": ("decoder", "decoder")}

SOFT = {"length": 4, "learning_rate": 0.1, "steps": 90, "batch_size": 16}
KV = {"length": 8, "init": "random", "learning_rate": 0.2, "steps": 80, "batch_size": 16}
SIZES = {"train": 64, "validation": 48, "test": 120}
FRESH = 40


@dataclass(frozen=True)
class Searched:
    """A finished search, and texts that it has not seen.

    Attributes:
        fresh: what these texts are about; `file` holds them with their right answers.
    """

    kind: str
    result: SearchResult
    url: str
    fresh: list[Scene]
    file: Path

    @property
    def texts(self) -> list[Text]:
        """The unseen texts as `predict` takes them."""
        rows = [row_of(scene, self.kind, number) for number, scene in enumerate(self.fresh)]
        if self.kind != "options":
            return [row["text"] for row in rows]
        return [{"text": row["text"], "options": json.dumps(row["options"])} for row in rows]

    def run(self, *command: str) -> Any:
        """What a command prints as JSON."""
        ran = CliRunner().invoke(main, [*command, "--json", "--db", self.url])
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.stdout)


@pytest.fixture(scope="session")
def cued_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's model, which is trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("cued")

    def model(family: str) -> Path:
        if not (folder / family).exists():
            save_cued_model(folder / family, family)
        return folder / family

    return model


@pytest.fixture(
    scope="module", params=itertools.product(FAMILIES, TASKS), ids=lambda param: "-".join(param)
)
def searched(
    request: pytest.FixtureRequest,
    cued_model: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Searched:
    """A search of a kind of answers on a family of models."""
    family, kind = request.param
    folder = tmp_path_factory.mktemp(f"{family}_{kind}")
    scenes = shuffled_scenes()
    write_rows(folder / "texts.jsonl", scenes[:-FRESH], kind)
    file = write_rows(folder / "fresh.jsonl", scenes[-FRESH:], kind)
    soft, kv = PLACES[family]
    hard = {"tokens": 1, "start": "in", "candidates": 32, "rounds": 3, "batch_size": 16}
    config = {
        "name": kind,
        "model": {"path": str(cued_model(family)), "dtype": "float32"},
        "data": {"path": "texts.jsonl", "sizes": SIZES},
        "task": {"template": "{text} answer:", "answers": kind} | TASKS[kind],
        "space": {
            "soft": SOFT | {"position": soft},
            "hard": hard,
            "kv": KV | {"position": kv},
        },
        # The first three trials of this seed are of three kinds of prompt.
        "search": {"trials": 3, "workers": 0, "seed": 0, "rungs": 1, "cache_gib_on_disk": 0},
        "ensemble": {"size": 3},
        "baselines": ["template"],
    }
    url = f"sqlite:///{folder / 'store.db'}"
    result = autoprompt.search(write_yaml(folder / "search.yaml", config), db=url, quiet=True)
    return Searched(kind, result, url, scenes[-FRESH:], file)


def right_of(scene: Scene, kind: str) -> Any:
    """The right answer as people are told it."""
    label = row_of(scene, kind, 0)["label"]
    if kind == "several_labels":
        return [animal for animal in ANIMALS if animal in label]
    if kind == "spans":
        return [span | {"text": scene.text[span["start"] : span["end"]]} for span in label]
    return label


def is_right(said: Any, scene: Scene, kind: str) -> bool:
    right = right_of(scene, kind)
    return bool(abs(said - right) < 0.5 if kind == "scale" else said == right)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_each_kind_of_prompt_beats_the_template_alone(searched: Searched, prompt: str) -> None:
    result = searched.result
    assert not [trial.error for trial in result.trials if trial.error]
    assert result.test is not None
    alone = result.test["no_prompt"]
    scores = [trial.score for trial in result.leaderboard if trial.kind == prompt]
    assert scores, "no trial of this kind"
    score = scores[0]
    assert score is not None
    if searched.kind == "scale":
        assert score < min(0.2, alone["low"])
    else:
        assert score > max(0.75, alone["high"])


def test_the_best_prompt_beats_the_template_alone_on_test(searched: Searched) -> None:
    test = searched.result.test
    assert test is not None
    assert test["texts"] == SIZES["test"]
    for which in ("best", "ensemble"):
        if searched.kind == "scale":
            assert test[which]["high"] < min(0.2, test["no_prompt"]["low"])
        else:
            assert test[which]["low"] > max(0.85, test["no_prompt"]["high"])


def test_members_vote_in_their_kinds_own_terms(searched: Searched) -> None:
    result = searched.result
    everyone = Voters(result, result.prompts())
    assert len(everyone.members) == len(PROMPTS)
    predictions = Predictor.load([everyone]).predict(searched.texts)[result.name]
    right = [
        is_right(each.label, scene, searched.kind)
        for each, scene in zip(predictions, searched.fresh, strict=True)
    ]
    assert np.mean(right) > 0.85
    assert all(0 < each.votes <= 1 for each in predictions)
    chosen = result.ensemble
    assert len(chosen.members) > 1 or chosen.note is not None


def test_a_file_is_answered_as_texts_are(searched: Searched) -> None:
    """By the search as the store has it, read anew."""
    there = autoprompt.load(db=searched.url).ensemble.predict(searched.texts)
    rows = searched.run("predict", "latest", "--input", str(searched.file))
    assert [row["label"] for row in rows] == [each.label for each in there]
    before = searched.result.ensemble.predict(searched.texts)
    assert [each.label for each in there] == [each.label for each in before]


def test_stored_decisions_are_those_that_are_made_again(searched: Searched) -> None:
    result = autoprompt.load(db=searched.url)
    answers, texts = result.answers, result.config.splits(0).test.texts
    assert result.test_opening is not None
    stored = result.held_out_answers(result.test_opening)
    assert stored is not None
    again = result.ensemble.predict(texts)
    told = [answers.told(own, text) for own, text in zip(stored.voted, texts, strict=True)]
    if searched.kind == "scale":
        assert told == pytest.approx([each.label for each in again], abs=1e-3)
    else:
        assert told == [each.label for each in again]


def test_it_is_shown_and_reported(searched: Searched, tmp_path: Path) -> None:
    shown = searched.run("show", "latest")
    assert shown["state"] == "finished"
    assert shown["test"]["best"]["low"] <= shown["test"]["best"]["high"]
    rows = searched.run("trials", "latest")
    assert {row["kind"] for row in rows} == set(PROMPTS)
    assert searched.run("ensemble", "latest")["members"]
    page = searched.result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "</html>" in page
    assert searched.result.record.metric in page


def test_it_is_scored_on_another_file(searched: Searched) -> None:
    scored = searched.run("evaluate", "latest", "--data", str(searched.file))
    assert scored["texts"] == FRESH
    best, alone = scored["best"]["score"], scored["no_prompt"]["score"]
    assert best < 0.3 < alone if searched.kind == "scale" else best > 0.85 > alone


def test_the_template_alone_stands_beside_it(searched: Searched) -> None:
    tested = searched.result.test
    assert tested is not None
    beside = {row["name"]: row for row in tested["baselines"]}["template"]
    assert beside["error"] is None
    assert beside["score"] == pytest.approx(tested["no_prompt"]["score"])


def test_what_a_position_is_worth_is_a_number(searched: Searched) -> None:
    [number] = [trial.number for trial in searched.result.trials if trial.kind == "hard"][:1]
    explained = searched.result.explain(number, quiet=True)
    assert np.isfinite(explained["loss"])
    assert all(np.isfinite(row["more_loss"]) for row in explained["positions"])


def test_it_is_exported(searched: Searched, tmp_path: Path) -> None:
    """What the folder answers is held against `predict` in `test_export_kinds`."""
    folder = searched.result.export(tmp_path / "out")
    document = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    assert document["prompts"]
    assert (folder / "answers.py").is_file()
