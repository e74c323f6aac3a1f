"""Right answers that are none: one line with what is wrong, the row, and how many more, whatever
the kind of answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.answers import answers_of
from autoprompt.workers.data_files import RowReader
from autoprompt.workers.wording import Wording
from tests.cued import ANIMALS, COLOURS, NUMBERS, SCENES, row_of

LABEL_WORDS: dict[str, Any] = {
    "label_words": {colour: colour for colour in COLOURS},
    "scale": dict(enumerate(NUMBERS, 1)),
    "several_labels": {animal: animal for animal in ANIMALS},
    "options": {},
    "text": {},
    "spans": {"number": "number", "colour": "colour"},
}


def span(start: int, end: int, label: str) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "label": label}]


def refused(rows: list[dict[str, Any]], kind: str, folder: Path, **more: Any) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    content: dict[str, Any] = {"answers": kind, "template": "{text} answer:"} | more
    if LABEL_WORDS[kind]:
        content["label_words"] = LABEL_WORDS[kind]
    if kind == "options":
        content["options"] = "options"
    wording = Wording.model_validate(content)
    reader = RowReader({name: name for name in wording.reads}, "label", answers_of(wording))
    with pytest.raises(DataError) as problem:
        reader.file(path, "rows.jsonl")
    message = str(problem.value)
    assert message.startswith("rows.jsonl: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("label_words", "violet", "'violet' (2 rows) has no word in task.label_words"),
        ("scale", 9, "9 (2 rows) is off the scale of task.label_words, 1 to 4"),
        ("several_labels", ["dog", "horse"], "horse"),
        ("text", " ", "is an empty answer"),
        ("text", None, "is an empty answer"),
        ("spans", span(4, 400, "number"), "has a span 4 to 400, which is none of its text of"),
        ("spans", span(4, 7, "size"), "has the label 'size', which has no word"),
        ("spans", [{"start": "a", "end": 7, "label": "number"}], "are no numbers of characters"),
    ],
)
def test_a_wrong_answer_is_told_with_its_row_and_how_many_more(
    kind: str, label: Any, words: str, tmp_path: Path
) -> None:
    rows = [row_of(scene, kind, number) for number, scene in enumerate(SCENES[:8])]
    for number in (2, 5):
        rows[number]["label"] = label
    message = refused(rows, kind, tmp_path)
    assert words in message
    assert "(2 rows)" in message
    assert "see row 3" in message


def test_faults_of_other_kinds_are_counted(tmp_path: Path) -> None:
    rows = [row_of(scene, "label_words", 0) for scene in SCENES[:8]]
    for number, label in enumerate(("violet", "violet", "pink", "")):
        rows[number + 1]["label"] = label
    message = refused(rows, "label_words", tmp_path)
    assert "'violet' (2 rows)" in message
    assert "see row 2" in message
    assert "2 more rows" in message


def test_more_options_than_can_be_scored(tmp_path: Path) -> None:
    rows = [row_of(scene, "options", number) for number, scene in enumerate(SCENES[:8])]
    message = refused(rows, "options", tmp_path, most_options=2)
    assert "has 3 options, and there may be 2 to 2 (task.most_options)" in message


def test_an_option_that_no_row_has(tmp_path: Path) -> None:
    """Each row has options of its own, and so a fault of its own."""
    rows = [row_of(scene, "options", number) for number, scene in enumerate(SCENES[:8])]
    for number in (2, 5):
        rows[number]["label"] = "red horse"
    message = refused(rows, "options", tmp_path)
    assert "'red horse' (1 row) is none of the row's options" in message
    assert "see row 3, and 1 more rows are wrong likewise" in message


def test_options_that_are_no_list(tmp_path: Path) -> None:
    rows = [row_of(scene, "options", number) for number, scene in enumerate(SCENES[:8])]
    for row in rows:
        row["options"] = "red dog or blue cat"
    assert "options that are no JSON list" in refused(rows, "options", tmp_path)


def test_an_answer_that_its_context_does_not_hold(tmp_path: Path) -> None:
    rows = [
        {"text": "a red dog ran", "label": ["red dog", "dog"]},
        {"text": "a blue cat sat", "label": ["cat", "blue horse"]},
        {"text": "a green bird sang", "label": "Bird"},
    ]
    message = refused(rows, "text", tmp_path, extractive="text")
    assert "['cat', 'blue horse'] (1 row) does not stand in its text; see row 2" in message
    assert "1 more rows are wrong likewise" in message


def test_answers_stand_in_a_column_that_is_read() -> None:
    with pytest.raises(ValueError, match="extractive: context is no column of the template"):
        Wording(answers="text", template="{text} answer:", extractive="context")
