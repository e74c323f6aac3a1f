"""The question: rows of named columns as tokens, and the answer's place behind them."""

import pytest

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.question import build_question
from autoprompt.workers.rows import Row, as_text, stripped
from autoprompt.workers.template import Template

PAIR = Row({"hypothesis": "a joy", "premise": "the film is bright"})


def test_one_column_is_read_as_it_always_was(tiny_model: FrozenModel) -> None:
    tokenizer = tiny_model.tokenizer
    question = build_question(Template.parse("Review: {text}\nSentiment:"), tokenizer)
    expected = tuple(tokenizer("Review: a joy", add_special_tokens=False).input_ids)
    assert question.read(["a joy"]) == [expected]
    assert question.read([{"text": "a joy", "id": "7"}]) == [expected]
    assert tokenizer.decode(question.tail_ids) == "\nSentiment:"


def test_several_columns_are_read_up_to_the_last(tiny_model: FrozenModel) -> None:
    template = Template.parse("Premise: {premise}\nHypothesis: {hypothesis}\nSo:")
    question = build_question(template, tiny_model.tokenizer)
    assert question.columns == ("premise", "hypothesis")
    [tokens] = question.read([PAIR])
    assert tiny_model.tokenizer.decode(tokens) == "Premise: the film is bright\nHypothesis: a joy"
    assert tiny_model.tokenizer.decode(question.tail_ids) == "\nSo:"
    assert question.everywhere("-") == {"premise": "-", "hypothesis": "-"}


def test_braces_are_columns_unless_they_are_named() -> None:
    text = "{yes} or {no}: {text} {a-b}?"
    assert Template.parse(text).columns == ("yes", "no", "text")
    assert Template.parse(text, ["text"]).head == "{yes} or {no}: "
    assert Template.parse(text, ["text", "a-b"]).columns == ("text", "a-b")
    assert str(Template.parse(text)) == text


def test_a_text_that_lacks_a_column_is_named() -> None:
    template = Template.parse("{premise} {hypothesis}")
    with pytest.raises(BadInputError, match=r"premise, hypothesis: give texts by these names"):
        template.filled("a joy")
    with pytest.raises(BadInputError, match=r"'premise', and a text has only hypothesis"):
        template.filled({"hypothesis": "a joy"})


def test_rows_are_equal_by_what_they_hold() -> None:
    same = Row({"premise": "the film is bright", "hypothesis": "a joy"})
    assert same == PAIR
    assert hash(PAIR) == hash(same)
    assert len({PAIR, same, Row({"premise": "x", "hypothesis": "a joy"})}) == 2
    assert as_text(PAIR) == "hypothesis: a joy\npremise: the film is bright"
    assert stripped({"a": " x "}) == {"a": "x"}
