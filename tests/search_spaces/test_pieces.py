"""Templates as pieces: what stands where, and what is refused."""

import pytest

from autoprompt.search_spaces.pieces import Pieces, Position


@pytest.mark.parametrize(
    ("template", "rest", "position", "front", "behind"),
    [
        (
            "{text} A {hard} B {hard}:",
            "{text}:",
            "suffix",
            (),
            (" A ", "{hard}", " B ", "{hard}"),
        ),
        ("{hard}\nReview: {text}", "\nReview: {text}", "prefix", ("{hard}",), ()),
        (
            "Say {hard} of {text}{soft} now",
            " of {text} now",
            "both",
            ("Say ", "{hard}"),
            ("{soft}",),
        ),
        ("{text}\nSentiment:{hard}", "{text}\nSentiment:", "end", (), ("{hard}",)),
        ("{text}\nSentiment:{kv}", "{text}\nSentiment:", "end", (), ("{kv}",)),
        ("{text}{kv}\nSentiment:", "{text}\nSentiment:", "suffix", (), ("{kv}",)),
        ("{kv}{text}\nSentiment:", "{text}\nSentiment:", "prefix", ("{kv}",), ()),
        ("{one} and {two}{hard}.", "{one} and {two}.", "suffix", (), ("{hard}",)),
        ("{text}{hard} was {mask}.", "{text} was {mask}.", "suffix", (), ("{hard}",)),
    ],
)
def test_a_templates_own_pieces(
    template: str, rest: str, position: str, front: tuple[str, ...], behind: tuple[str, ...]
) -> None:
    assert Pieces.of(template, "hard", "end") == Pieces(rest, position, front, behind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("position", "front", "behind"),
    [
        ("suffix", (), ("{soft}",)),
        ("prefix", ("{soft}",), ()),
        ("both", ("{soft}",), ("{soft}",)),
        ("end", (), ("{soft}",)),
        ("decoder", (), ("{soft}",)),
    ],
)
def test_a_position_is_short_for_pieces(
    position: Position, front: tuple[str, ...], behind: tuple[str, ...]
) -> None:
    assert Pieces.of("{text}:", "soft", position) == Pieces("{text}:", position, front, behind)


def test_a_layout_is_short_for_pieces() -> None:
    found = Pieces.of("{text}:", "mixed", "both", "{hard}{text}{soft}")
    assert found == Pieces("{text}:", "both", ("{hard}",), ("{soft}",))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{one} {hard} {two}", "a piece between two columns"),
        ("A {kv}{text}:", "before everything, right behind the text, or at the template's end"),
        ("{text} A {kv}:", "before everything"),
        ("just {hard}", "has no column"),
    ],
)
def test_a_piece_where_none_can_stand_is_refused(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pieces.of(template, "hard", "suffix")
