"""Spans of time as people write them."""

import pytest

from autoprompt.search_spaces.documents import Document, parse
from autoprompt.search_spaces.durations import Seconds, shown_seconds
from autoprompt.search_spaces.errors import ConfigError


class Span(Document):
    time: Seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (600, 600),
        (0.5, 0.5),
        ("600", 600),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2 H", 7200),
    ],
)
def test_what_is_written_in_seconds(written: float | str, seconds: float) -> None:
    assert parse(Span, {"time": written}, "here").time == seconds


@pytest.mark.parametrize("written", ["", "soon", "10 minutes", "m", "0", 0, -1, float("inf")])
def test_anything_else_is_refused_in_a_line(written: float | str) -> None:
    with pytest.raises(ConfigError, match=r"^here: time: [^\n]+$"):
        parse(Span, {"time": written}, "here")


def test_how_a_span_is_shown() -> None:
    shown = [shown_seconds(value) for value in (0.42, 12, 599, 600, 7200, 9000)]
    assert shown == ["0.42 s", "12 s", "599 s", "10 min", "2.0 h", "2.5 h"]
