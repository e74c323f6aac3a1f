"""Tables keep to a terminal's width, and are plain in a pipe."""

import pytest
from rich.console import Console
from rich.text import Text

from autoprompt.cli import score_tables, tables

COLUMNS = [("trial", "right"), ("state", "left"), ("settings", "brief"), ("prompt", "brief")]
ROWS = [
    (1, tables.word("complete"), "length=4 init=text", "in short, " * 20),
    (22, tables.word("failed"), "length=8", "[bold]not markup[/bold]"),
]


def printed(monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int) -> list[str]:
    out = Console(force_terminal=terminal, width=width, highlight=False, no_color=True)
    monkeypatch.setattr(tables, "console", lambda: out)
    with out.capture() as captured:
        out.print(tables.table("A table", COLUMNS, ROWS))
    return [Text.from_ansi(line).plain.rstrip() for line in captured.get().splitlines()]


def test_a_terminal_gets_a_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(monkeypatch, terminal=True, width=80)
    assert [line.split()[0] for line in lines if line][3:] == ["1", "22"]
    assert all(len(line) <= 80 for line in lines)
    assert any(line.endswith("…") for line in lines)


def test_a_pipe_gets_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(" ".join(printed(monkeypatch, terminal=False, width=80)).split())
    assert text.count("in short,") == 20
    assert "[bold]not markup[/bold]" in text


@pytest.mark.parametrize(("score", "place"), [(0.5, 0), (0.75, 14), (1.0, 27)])
def test_an_interval_is_drawn_to_scale(score: float, place: int) -> None:
    line = score_tables.drawn_interval({"low": 0.5, "high": 1.0, "score": score}, 0.5, 1.0).plain
    assert len(line) == 28
    assert line.index("●") == place


@pytest.mark.parametrize(("members", "rows"), [([7], 3), ([7, 2], 4)])
def test_the_mean_of_one_member_is_no_row(members: list[int], rows: int) -> None:
    estimate = {"score": 0.8, "low": 0.7, "high": 0.9, "method": "wilson"}
    scored = dict.fromkeys(("no_prompt", "mean", "best", "ensemble"), estimate)
    found = score_tables.estimates_table("Test", {**scored, "members": members}, "majority")
    assert found.row_count == rows
