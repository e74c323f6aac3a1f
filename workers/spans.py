"""Spans of a text: read from JSON or from tags, and checked.

A span is (start, end, label): characters from `start` up to but not including `end`. Spans may
overlap and lie in one another; the same one twice is one. White space around a text is not part of
it, and neither is that around a span.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

_TAG = re.compile(r"([BIESLU])-(\S.*)")


class Span(NamedTuple):
    """Characters [start, end) of a text, and what they are."""

    start: int
    end: int
    label: str


def spans_in(cell: Any, text: str) -> tuple[Span, ...]:
    """The spans that a cell of the data has of its text, in order.

    Args:
        cell: a list of {"start", "end", "label"}, a dict of three lists as some data sets have it,
            or either as JSON; empty or None for no spans.
        text: as the data has it; `start` and `end` count its characters.

    Returns:
        Places in the text without the white space around it.

    Raises:
        ValueError: what is wrong with the cell, as it reads behind it.
    """
    before = len(text) - len(text.lstrip())
    found = set()
    for entry in entries(cell):
        start, end, label = entry.get("start"), entry.get("end"), entry.get("label")
        if not (_is_place(start) and _is_place(end)):
            raise ValueError("has a span whose start and end are no numbers of characters")
        if label is None or not str(label).strip():
            raise ValueError(f"has a span {start} to {end} without a label")
        if not 0 <= start < end <= len(text):
            raise ValueError(
                f"has a span {start} to {end}, which is none of its text of {len(text)} characters"
            )
        words = text[start:end]
        if not words.strip():
            raise ValueError(f"has a span {start} to {end} of white space alone")
        start += len(words) - len(words.lstrip()) - before
        found.add(Span(start, start + len(words.strip()), str(label).strip()))
    return tuple(sorted(found))


def tagged_spans(tokens: Sequence[str], tags: Any) -> list[dict[str, Any]]:
    """The spans of tokens with spaces between, as a cell for `spans_in`.

    Tags are O, and B- or I- with a label (IOB1, IOB2), and those of single (S-, U-) and last tokens
    (E-, L-; IOBES, BILOU). An I- or E- behind none of its label begins a span, as in conlleval.

    Raises:
        ValueError: not one tag a token, or one that is none of these, as it reads behind the tags.
    """
    if not isinstance(tags, list) or len(tags) != len(tokens):
        count = f"{len(tags)} tags" if isinstance(tags, list) else "no list of tags"
        raise ValueError(f"is {count} for {len(tokens)} tokens")
    spans: list[dict[str, Any]] = []
    goes_on, place = None, 0
    for token, tag in zip(tokens, tags, strict=True):
        end = place + len(token)
        matched = _TAG.fullmatch(str(tag))
        if matched is not None:
            kind, label = matched.groups()
            if kind in "IEL" and label == goes_on:
                spans[-1]["end"] = end
            else:
                spans.append({"start": place, "end": end, "label": label})
            goes_on = label if kind in "BI" else None
        elif tag == "O":
            goes_on = None
        else:
            raise ValueError(f"has the tag {tag!r}, which is neither O nor a label behind B- or I-")
        place = end + 1
    return spans


def entries(cell: Any) -> list[dict[str, Any]]:
    """The spans of a cell, as `spans_in` takes it, unchecked.

    Raises:
        ValueError: it holds no list of them.
    """
    if isinstance(cell, str):
        try:
            cell = json.loads(cell) if cell.strip() else None
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON: {error.msg}") from None
    if cell is None:
        return []
    if isinstance(cell, dict) and set(Span._fields) <= set(cell):
        columns = [cell[key] for key in Span._fields]
        if all(isinstance(column, list) for column in columns):
            if len({len(column) for column in columns}) > 1:
                raise ValueError("has not as many starts as ends and labels")
            return [dict(zip(Span._fields, row, strict=True)) for row in zip(*columns, strict=True)]
        cell = [cell]
    if not isinstance(cell, list) or not all(isinstance(entry, dict) for entry in cell):
        raise ValueError('is no list of spans {"start", "end", "label"}')
    return cell


def _is_place(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
