"""Answers that differ from text to text: options, free text and spans, in numpy alone."""

from typing import Any

import numpy as np
import pytest

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.answers.free_text import coded
from autoprompt.workers.rows import Row
from autoprompt.workers.wording import Wording

LISTED = Wording(answers="options", template="{question}", options=("choices",), most_options=3)
COLUMNS = Wording(answers="options", template="{question}", options=("a", "b"))
TEXT = Wording(answers="text", longest_answer=8)
SPANS = Wording(
    answers="spans", label_words={"PER": ("person",), "LOC": ("place",)}, longest_answer=16
)
ROW = Row({"question": "?", "choices": '["red", "blue", "7"]'})
PAIR = Row({"question": "?", "a": "red", "b": "blue"})


@pytest.mark.parametrize(
    ("wording", "row", "cell", "place"),
    [
        (LISTED, ROW, "blue", 1),
        (LISTED, ROW, "C", 2),
        (LISTED, ROW, 0, 0),
        (LISTED, ROW, "7", 2),
        (COLUMNS, PAIR, "b", 1),
        (COLUMNS, PAIR, "red", 0),
    ],
)
def test_the_right_option_is_told_in_several_ways(
    wording: Wording, row: Row, cell: Any, place: int
) -> None:
    answers = answers_of(wording)
    assert answers.read(cell, row) == place
    assert answers.told(place, row) == list(answers.of(row))[place]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("row", "cell", "problem"),
    [
        (ROW, "green", "is none of the row's options: red, blue, 7"),
        (ROW, 3, "is none of the row's options"),
        (Row({"question": "?", "choices": '["red"]'}), "red", "has 1 options, and there may be 2"),
        (Row({"question": "?", "choices": '["a", "b", "c", "d"]'}), "a", "2 to 3"),
        (Row({"question": "?", "choices": "red, blue"}), "red", "that are no JSON list"),
    ],
)
def test_options_that_will_not_do(row: Row, cell: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        answers_of(LISTED).read(cell, row)


def test_options_are_named() -> None:
    with pytest.raises(ConfigError, match="name the column that holds a row's options"):
        answers_of(Wording(answers="options"))
    shares = answers_of(LISTED).by_name(np.array([0.5, 0.25, 0.25]), ROW)
    assert shares == {"red": 0.5, "blue": 0.25, "7": 0.25}


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        (" Paris ", ("Paris",)),
        (["Paris", "paris, France"], ("Paris", "paris, France")),
        ({"text": ["Paris"], "answer_start": [3]}, ("Paris",)),
        (7, ("7",)),
    ],
)
def test_right_texts_are_read(cell: Any, right: tuple[str, ...]) -> None:
    assert answers_of(TEXT).read(cell, "x") == right


@pytest.mark.parametrize("cell", [None, "", [], ["Paris", ""], {"text": []}])
def test_an_empty_answer_is_none(cell: Any) -> None:
    with pytest.raises(ValueError, match="is an empty answer"):
        answers_of(TEXT).read(cell, "x")


def said(answers: Answers, *members: list[str]) -> np.ndarray:
    """[N, B, A] of what members write; every loss is 1."""
    rows = [[[1.0, *coded(text, answers.size - 1)] for text in texts] for texts in members]
    return np.array(rows, dtype=np.float32)


def test_texts_are_voted_on_by_what_they_say_and_how_alike_they_are() -> None:
    answers = answers_of(TEXT)
    three = said(
        answers,
        ["The red dog.", "a dog", "one"],
        ["red dog", "the old dog", "two"],
        ["cat", "the old grey dog", "three"],
    )
    voted = answers.voted(three).tolist()
    assert voted == ["The red dog.", "the old dog", "one"]
    assert answers.voted(three, [1.0, 1.0, 3.0]).tolist() == ["cat", "the old grey dog", "three"]
    right = answers.right([("red dog",), ("old dog", "dog"), ("four",)])
    assert answers.correct(answers.decided(three)[1], right).tolist() == [True, True, False]


@pytest.mark.parametrize("wording", [TEXT, SPANS])
def test_what_is_written_is_stored_without_loss(wording: Wording) -> None:
    answers = answers_of(wording)
    one = said(answers, ["person: Ada", "a ünïcode 🙂 answer", ""])[0]
    one[1, 0] = np.nan
    np.testing.assert_array_equal(answers.unpacked(answers.packed(one)), one)
    for decisions in (answers.decided(one), answers.decided(np.stack([one, one]))):
        kept = answers.from_tensor(answers.tensor(decisions))
        assert kept.shape == decisions.shape
        assert answers.same(kept, decisions).all()


def test_spans_are_read_said_and_found_again() -> None:
    answers = answers_of(SPANS)
    text = " Ada met Ada in Rome"
    cell = [
        {"start": 1, "end": 4, "label": "PER"},
        {"start": 9, "end": 12, "label": "PER"},
        {"start": 16, "end": 20, "label": "LOC"},
    ]
    right = answers.read(cell, text)
    assert right == (("PER", "Ada", 1), ("PER", "Ada", 2), ("LOC", "Rome", 1))
    spoken = answers.spoken(right)
    assert spoken == "person: Ada; person: Ada; place: Rome"
    [decision] = answers.decided(said(answers, [spoken])[0])
    assert decision == right
    assert answers.correct(np.array([None, decision], object)[1:], answers.right([right])).all()
    told = answers.told(decision, text.strip())
    assert [(span["start"], span["end"], span["label"]) for span in told] == [
        (0, 3, "PER"),
        (8, 11, "PER"),
        (15, 19, "LOC"),
    ]
    [none] = answers.decided(said(answers, ["none"])[0])
    assert none == () == answers.read([], text)
    assert answers.spoken(()) == "none"


def test_a_span_is_voted_for_by_more_than_half() -> None:
    answers = answers_of(SPANS)
    three = said(
        answers, ["person: Ada; place: Rome"], ["place: Rome"], ["thing: Rome; person: Rome"]
    )
    assert answers.voted(three).tolist() == [(("LOC", "Rome", 1),)]
    [away] = answers.told(answers.voted(three)[0], "nobody was there")
    assert (away["start"], away["end"]) == (None, None)


def test_a_label_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="the label 'ORG', which has no word"):
        answers_of(SPANS).read([{"start": 0, "end": 1, "label": "ORG"}], "ab")
