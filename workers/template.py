"""Templates: words around the columns of a row, and where the answer is asked for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.rows import Text

MASK = "{mask}"

#: What stands in braces and may be a column's name. Others can be named one by one.
_NAME = re.compile(r"\{([^\W\d]\w*)\}")


@dataclass(frozen=True)
class Template:
    """A template taken apart.

    Attributes:
        parts: for every column, what stands between it and the one before, and its name.
        tail: what stands behind the last column.
    """

    parts: tuple[tuple[str, str], ...]
    tail: str

    @classmethod
    def parse(cls, template: str, columns: Sequence[str] | None = None) -> "Template":
        """Take a template apart.

        Args:
            columns: what is a column; every name in braces but {mask} where not given.

        Raises:
            ValueError: it holds no column, or one twice, or a mask where none can stand.
        """
        if columns is None:
            names = [name for name in _NAME.findall(template) if name != "mask"]
            columns = list(dict.fromkeys(names)) or ["text"]
        for column in columns:
            if template.count(f"{{{column}}}") != 1:
                raise ValueError(f"the template must hold {{{column}}} exactly once")
        if template.count(MASK) > 1:
            raise ValueError("the template may hold {mask} only once")
        parts, rest = [], template
        for column in sorted(columns, key=lambda name: template.index(f"{{{name}}}")):
            before, rest = rest.split(f"{{{column}}}")
            parts.append((before, column))
        if any(MASK in before for before, _ in parts[1:]):
            raise ValueError("{mask} must stand before the first column or behind the last one")
        return cls(tuple(parts), rest)

    def __str__(self) -> str:
        return "".join(f"{before}{{{column}}}" for before, column in self.parts) + self.tail

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the order in which they are read."""
        return tuple(column for _, column in self.parts)

    @property
    def head(self) -> str:
        """What stands before the first column."""
        return self.parts[0][0]

    def with_mask(self, token: str) -> "Template":
        """The template with a token in the place of {mask}."""
        (head, column), *others = self.parts
        parts = ((head.replace(MASK, token), column), *others)
        return replace(self, parts=parts, tail=self.tail.replace(MASK, token))

    def filled(self, text: Text) -> str:
        """The template from its start to the end of its last column, filled in.

        Raises:
            BadInputError: the text has not every column.
        """
        return "".join(
            before + cell for (before, _), cell in zip(self.parts, self._cells(text), strict=True)
        )

    def answered(self, filled: str, word: str, mask: str = MASK) -> str:
        """A text as `filled` gives it, with the rest of the template and an answer: in the place of
        the mask where there is one, else behind everything.

        Args:
            mask: what stands for {mask}; empty for nothing.
        """
        whole = filled + self.tail
        if mask and mask in whole:
            return whole.replace(mask, word)
        joint = "" if self.tail[-1:].isspace() else " "
        return f"{whole}{joint}{word}"

    def _cells(self, text: Text) -> list[str]:
        if isinstance(text, str):
            if len(self.parts) == 1:
                return [text]
            raise BadInputError(
                f"the template reads the columns {', '.join(self.columns)}: give texts by these "
                f"names, not {text[:40]!r} alone"
            )
        missing = [column for column in self.columns if column not in text]
        if missing:
            raise BadInputError(
                f"the template reads the column {missing[0]!r}, and a text has only "
                f"{', '.join(text) or 'none'}"
            )
        return [text[column] for column in self.columns]
