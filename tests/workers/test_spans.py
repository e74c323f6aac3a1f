"""Spans: read from JSON and from tags, and refused where they are none of their text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprompt.workers.spans import Span, spans_in, tagged_spans

TEXT = "Ada Lovelace met Babbage in London"
SPANS = [{"start": 17, "end": 24, "label": "person"}, {"start": 0, "end": 12, "label": "person"}]


@pytest.mark.parametrize(
    "cell",
    [
        SPANS,
        json.dumps(SPANS),
        SPANS * 2,
        {"start": [17, 0], "end": [24, 12], "label": ["person"] * 2},
        [{"start": 16, "end": 24, "label": " person "}, {"start": 0, "end": 13, "label": "person"}],
    ],
)
def test_spans_come_as_lists_and_as_json(cell: Any) -> None:
    assert spans_in(cell, TEXT) == (Span(0, 12, "person"), Span(17, 24, "person"))


def test_overlapping_spans_are_kept() -> None:
    inner = {"start": 0, "end": 3, "label": "first name"}
    assert spans_in([*SPANS, inner], TEXT)[:2] == (Span(0, 3, "first name"), Span(0, 12, "person"))


@pytest.mark.parametrize("cell", ["", " ", None, [], "[]"])
def test_no_spans(cell: Any) -> None:
    assert spans_in(cell, TEXT) == ()


def test_places_are_those_of_the_text_without_the_white_space_around_it() -> None:
    [span] = spans_in([{"start": 2, "end": 5, "label": "x"}], "\n  Ada ")
    assert "\n  Ada ".strip()[span.start : span.end] == "Ad"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("[{", "is not JSON"),
        ("7", "is no list of spans"),
        (["person"], "is no list of spans"),
        ([{"start": 0, "label": "x"}], "start and end are no numbers"),
        ([{"start": True, "end": 2, "label": "x"}], "start and end are no numbers"),
        ([{"start": 30, "end": 35, "label": "x"}], "a span 30 to 35, which is none of its text of"),
        ([{"start": -1, "end": 2, "label": "x"}], "a span -1 to 2, which is none of its text of"),
        ([{"start": 3, "end": 3, "label": "x"}], "a span 3 to 3, which is none of its text of 34"),
        ([{"start": 3, "end": 4, "label": "x"}], "of white space alone"),
        ([{"start": 0, "end": 3, "label": " "}], "without a label"),
        ({"start": [0, 1], "end": [3], "label": ["x"]}, "not as many starts"),
    ],
)
def test_what_is_no_span_is_refused(cell: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spans_in(cell, TEXT)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-P I-P O B-P O B-L", [("Ada Lovelace", "P"), ("Babbage", "P"), ("London", "L")]),
        ("I-P I-P O I-P O I-L", [("Ada Lovelace", "P"), ("Babbage", "P"), ("London", "L")]),
        ("B-P E-P O S-P O U-L", [("Ada Lovelace", "P"), ("Babbage", "P"), ("London", "L")]),
        ("B-P L-P O B-P I-P O", [("Ada Lovelace", "P"), ("Babbage in", "P")]),
        ("B-P B-P O O O O", [("Ada", "P"), ("Lovelace", "P")]),
        ("B-P I-L O O O O", [("Ada", "P"), ("Lovelace", "L")]),
        ("S-P I-P O O O O", [("Ada", "P"), ("Lovelace", "P")]),
        ("O O O O O O", []),
    ],
)
def test_tags_become_spans(tags: str, expected: list[tuple[str, str]]) -> None:
    spans = spans_in(tagged_spans(TEXT.split(), tags.split()), TEXT)
    assert [(TEXT[span.start : span.end], span.label) for span in spans] == expected


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["O"] * 5, "is 5 tags for 6 tokens"),
        ("O O O O O O", "is no list of tags for 6 tokens"),
        (["O", "P", *"OOOO"], "the tag 'P', which is neither O nor a label behind B-"),
        (["O", "B-", *"OOOO"], "the tag 'B-'"),
        ([3, *"OOOOO"], "the tag 3"),
    ],
)
def test_tags_that_do_not_parse(tags: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tagged_spans(TEXT.split(), tags)


@given(st.lists(st.tuples(st.text("ab", min_size=1), st.sampled_from(["O", "B-x", "I-x", "S-y"]))))
def test_every_tagged_token_is_in_one_span(tagged: list[tuple[str, str]]) -> None:
    tokens, tags = [token for token, _ in tagged], [tag for _, tag in tagged]
    text = " ".join(tokens)
    spans = spans_in(tagged_spans(tokens, tags), text)
    words = [word for span in spans for word in text[span.start : span.end].split(" ")]
    assert words == [token for token, tag in tagged if tag != "O"]
