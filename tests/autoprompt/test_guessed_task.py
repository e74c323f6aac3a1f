"""What a task is taken for, by the columns of its data."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoprompt.config import SearchConfig
from autoprompt.preparation.guessed_task import guessed, with_known_task
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import DataError


@pytest.mark.parametrize(
    ("task", "columns", "answers", "template"),
    [
        ("auto", {"text": ["a"], "label": ["x", "y"]}, "label_words", "{text}\nAnswer:"),
        ("auto", {"text": ["a"], "label": [0, 1]}, "label_words", "{text}\nAnswer:"),
        ("auto", {"text": ["a"], "label": [0.5, 2.25]}, "scale", "{text}\nAnswer:"),
        ("auto", {"text": ["a"], "label": [["x"], []]}, "several_labels", "{text}\nAnswer:"),
        (
            "auto",
            {"premise": ["a"], "hypothesis": ["b"], "label": [0, 1]},
            "label_words",
            "{premise}\n{hypothesis}\nAnswer:",
        ),
        (
            "auto",
            {"question": ["a"], "choices": [["b", "c"]], "answer": [0]},
            "options",
            "Question: {question}\nAnswer:",
        ),
        (
            "auto",
            {"context": ["a"], "question": ["b"], "answers": [{"text": ["c"]}]},
            "text",
            "{context}\nQuestion: {question}\nAnswer:",
        ),
        ("auto", {"document": ["a"], "summary": ["b"]}, "text", "{document}\nAnswer:"),
        ("auto", {"text": ["a"], "spans": [[]]}, "spans", None),
        (
            "pair",
            {"one": ["a"], "two": ["b"], "label": [0, 1]},
            "label_words",
            "{one}\n{two}\nAnswer:",
        ),
        ("qa", {"question": ["a"], "label": ["b"]}, "text", "Question: {question}\nAnswer:"),
        ("qa", {"text": ["a"], "label": ["b"]}, None, None),
        ("auto", {"a": ["a"], "b": ["b"]}, None, None),
    ],
)
def test_columns_say_what_a_task_is(
    task: str, columns: dict[str, list[Any]], answers: str | None, template: str | None
) -> None:
    found = guessed(task, columns, "text", "label")
    assert (found and found["answers"]) == answers
    assert (found and found.get("template")) == template


def config(path: Path, task: Any) -> SearchConfig:
    return SearchConfig.model_validate(
        {"model": "m", "data": {"path": str(path)}, "task": task, "space": "quick"}
    )


def test_what_is_given_comes_before_what_is_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.jsonl"
    row = {"context": "a b", "question": "b?", "answers": {"text": ["b"], "answer_start": [2]}}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    known = with_known_task(config(path, "auto"), SearchProgress())
    assert (known.task.answers, known.task.metric, known.data.label) == (
        "text",
        "token_f1",
        "answers",
    )
    assert "task: taken for text" in capsys.readouterr().err
    given = {"answers": "qa", "template": "{question} {context} So:", "metric": "exact_match"}
    known = with_known_task(config(path, given), SearchProgress(quiet=True))
    assert known.task.template == "{question} {context} So:"
    assert (known.task.answers, known.task.metric) == ("text", "exact_match")


def test_columns_that_say_nothing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"one": "a", "two": "b"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"its columns \(one, two\) do not say what the task is"):
        with_known_task(config(path, "auto"), SearchProgress(quiet=True))
