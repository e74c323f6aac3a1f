"""Spans of time as people write them: 600, 90s, 10m, 1h30m, 2d."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from autoprompt.search_spaces.errors import BadInputError

_NUMBER = r"(\d+(?:\.\d+)?)"
_WRITTEN = re.compile("".join(rf"(?:{_NUMBER}{unit})?" for unit in ("d", "h", "m", "s?")))


def _seconds(value: Any) -> Any:
    """Seconds of what is written; anything but text is for the validator to judge.

    Raises:
        ValueError: text that names no span of time.
    """
    if not isinstance(value, str):
        return value
    written = value.replace(" ", "").lower()
    found = _WRITTEN.fullmatch(written)
    if not written or found is None:
        raise ValueError(f"expected seconds, or a time such as 90s, 10m or 1h30m, not {value!r}")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


#: Seconds above 0, or text that says them.
Seconds = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=float | str),
    Field(gt=0, allow_inf_nan=False),
]


def seconds_of(text: str) -> float:
    """Seconds of a time that somebody wrote.

    Raises:
        BadInputError: it names none.
    """
    try:
        return float(_seconds(text))
    except ValueError as error:
        raise BadInputError(str(error)) from None


def shown_seconds(seconds: float) -> str:
    """Seconds in a sentence: 0.42 s, 12 s, 10 min, 2.5 h."""
    if seconds < 9.5:
        return f"{seconds:.2g} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
