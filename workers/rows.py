"""A text of the data: one column by itself, or several by name, which a template puts together."""

from collections.abc import Iterator, Mapping


class Row(Mapping[str, str]):
    """Columns of one row of the data, by name. It never changes, so it can be hashed."""

    __slots__ = ("_cells",)

    def __init__(self, cells: Mapping[str, str]) -> None:
        self._cells = dict(cells)

    def __getitem__(self, column: str) -> str:
        return self._cells[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def __hash__(self) -> int:
        return hash(frozenset(self._cells.items()))

    def __repr__(self) -> str:
        return f"Row({self._cells})"


#: A string stands for the only column that a template reads.
Text = str | Mapping[str, str]


def as_text(text: Text) -> str:
    """All that a text says as one string: itself, or a line for each of its columns."""
    if isinstance(text, str):
        return text
    return "\n".join(f"{column}: {cell}" for column, cell in text.items())


def stripped(text: Text) -> Text:
    """The text without white space around it, or around any of its columns."""
    if isinstance(text, str):
        return text.strip()
    return Row({column: cell.strip() for column, cell in text.items()})
