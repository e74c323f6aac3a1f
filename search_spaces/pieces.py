"""A template as pieces: words, columns, and places for what a trial finds.

`Review: {text} A {hard} B {hard}:` asks for words in two places. What stands between a text and the
last piece behind it belongs to the prompt, as what stands before the last piece in front does: the
rest of the template is asked of every prompt alike. A kind's `position` and a mixed prompt's
`layout` are short for pieces at the usual places.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: suffix right after the text, prefix before everything, both parted over the two, end behind the
#: whole template, decoder behind the start token of a model that has a decoder of its own.
Position = Literal["suffix", "prefix", "both", "end", "decoder"]

PIECES = ("{hard}", "{soft}", "{kv}")

#: A column's name, the mask, or a piece.
_BRACES = re.compile(r"\{([^\W\d]\w*)\}")

_PIECE = re.compile("|".join(map(re.escape, PIECES)))


@dataclass(frozen=True)
class Pieces:
    """A template taken apart where its pieces stand.

    Attributes:
        template: what is left without the prompt's part of it.
        position: where a prompt of these pieces stands.
        front: the prompt before the text: words and names of pieces, in reading order.
        behind: the prompt behind it.
    """

    template: str
    position: Position
    front: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        template: str,
        kind: str,
        position: Position,
        layout: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> "Pieces":
        """A template's own pieces; where it has none, those that a position is short for.

        Args:
            kind, position, layout: of a prompt in a template without pieces.
            columns: what is a column; every other name in braces where not given.

        Raises:
            ValueError: a piece stands where none can.
        """
        if not _PIECE.search(template):
            if layout is None:
                layout = _shorthand(f"{{{kind}}}", position)
            before, after = layout.split("{text}")
            return cls(template, position, _parted(before), _parted(after))
        places = [
            match
            for match in _BRACES.finditer(template)
            if match[0] not in PIECES
            and (match[1] in columns if columns is not None else match[1] != "mask")
        ]
        if not places:
            raise ValueError(f"the template {template!r} has no column")
        head, body = template[: places[0].start()], template[places[0].start() : places[-1].end()]
        tail = template[places[-1].end() :]
        if _PIECE.search(body):
            raise ValueError(
                f"the template {template!r} has a piece between two columns; it may stand before "
                "the first or behind the last one"
            )
        front, head = _last_piece(head)
        behind, tail = _last_piece(tail)
        if "{kv}" in front + behind:
            return cls._of_kv(template, head, body, tail, front, behind)
        if not front and not tail and len(_PIECE.findall(behind)) == 1:
            # All words stand before it: they may be kept with the text.
            words = _PIECE.sub("", behind)
            return cls(head + body + words, "end", (), (behind[len(words) :],))
        position = "both" if front and behind else "prefix" if front else "suffix"
        return cls(head + body + tail, position, _parted(front), _parted(behind))

    @classmethod
    def _of_kv(
        cls, template: str, head: str, body: str, tail: str, front: str, behind: str
    ) -> "Pieces":
        if front == "{kv}" and not behind:
            return cls(head + body + tail, "prefix", ("{kv}",))
        if behind == "{kv}" and not front and tail:
            return cls(head + body + tail, "suffix", (), ("{kv}",))
        if behind.endswith("{kv}") and not front and not tail and behind.count("{") == 1:
            return cls(head + body + behind.removesuffix("{kv}"), "end", (), ("{kv}",))
        raise ValueError(
            f"the template {template!r}: {{kv}} may stand before everything, right behind the "
            "text, or at the template's end, where its last token stands behind it"
        )


def _shorthand(piece: str, position: Position) -> str:
    """The layout of a prompt of one kind."""
    before = piece if position in ("prefix", "both") else ""
    return f"{before}{{text}}{'' if position == 'prefix' else piece}"


def _last_piece(text: str) -> tuple[str, str]:
    """What stands up to the end of the last piece, and what is left."""
    found = list(_PIECE.finditer(text))
    end = found[-1].end() if found else 0
    return text[:end], text[end:]


def _parted(text: str) -> tuple[str, ...]:
    """Words and names of pieces, in reading order."""
    return tuple(part for part in re.split(r"(\{\w+\})", text) if part)
