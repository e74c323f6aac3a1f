"""A column of a table: its cells, by its name or by a dotted path into them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from autoprompt.search_spaces.errors import DataError


def cells_of(table: Any, column: str, source: str) -> list[Any]:
    """A column's cells as Python values, `ClassLabel` numbers by their names.

    Args:
        table: a `datasets.Dataset`.
        column: its name; or, as `answers.text`, what a cell that is a dict has under a key, and a
            list of dicts in each of them.
        source: what errors call the table.

    Raises:
        DataError: no such column, or a cell has no such key.
    """
    name, keys = column, []
    if column not in table.column_names:
        name, *keys = column.split(".")
    if name not in table.column_names:
        raise DataError(
            f"{source}: no column {column!r}; it has {', '.join(table.column_names)} "
            "(task.template, data.text and data.label name the columns)"
        )
    feature = table.features[name]
    values: list[Any] = table[name][:]
    if _has_names(feature):
        values = [_named(value, feature) for value in values]
    if not keys:
        return values
    found = []
    for row, value in enumerate(values, 1):
        try:
            found.append(_below(value, keys))
        except KeyError as key:
            raise DataError(
                f"{source}: column {column!r}: row {row} has no {key} in its {name!r}"
            ) from None
    return found


def cell_of(row: Mapping[str, Any], column: str) -> Any:
    """What one row has in a column, named as for `cells_of`.

    Raises:
        KeyError: it has no such thing.
    """
    return row[column] if column in row else _below(row, column.split("."))


def as_column(name: str, cell: Any) -> str:
    """A cell as a template's column takes it: of {text} the tokens in a list with spaces between,
    of others a list, such as a row's options, as JSON."""
    if not isinstance(cell, list):
        return "" if cell is None else str(cell)
    if name != "text":
        return json.dumps(cell, ensure_ascii=False)
    return " ".join(as_column(name, token) for token in cell)


def columns_as_text(table: Any, source: str) -> dict[str, list[str]]:
    """All columns of a table as {text} takes them, without the white space around."""
    return {
        name: [as_column("text", cell).strip() for cell in cells_of(table, name, source)]
        for name in table.column_names
    }


def mapped(cell: Any, names: Mapping[str, str]) -> Any:
    """A cell with the labels in it called otherwise: the cell itself, or those of its list, whether
    it is one of labels or of spans.

    Args:
        names: a label's name in the data -> what it is to be called.
    """
    if isinstance(cell, list):
        return [mapped(own, names) for own in cell]
    if isinstance(cell, dict):
        return cell | {"label": mapped(cell["label"], names)} if "label" in cell else cell
    return names.get(name_of(cell), cell)


def name_of(cell: Any) -> str:
    """A label's name."""
    return "" if cell is None else str(cell).strip()


def _below(value: Any, keys: Sequence[str]) -> Any:
    for place, key in enumerate(keys):
        if isinstance(value, list):
            return [_below(own, keys[place:]) for own in value]
        if value is None:
            return None
        if not isinstance(value, dict) or key not in value:
            raise KeyError(key)
        value = value[key]
    return value


def _has_names(feature: Any) -> bool:
    """Whether labels are kept in it as numbers that have names."""
    if isinstance(feature, dict):
        return any(map(_has_names, feature.values()))
    return hasattr(feature, "int2str") or _has_names(getattr(feature, "feature", {}))


def _named(value: Any, feature: Any) -> Any:
    if isinstance(feature, dict):
        return value and {key: _named(own, feature[key]) for key, own in value.items()}
    if hasattr(feature, "int2str"):
        return feature.int2str(value) if isinstance(value, int) and value >= 0 else value
    if isinstance(value, list):
        return [_named(own, feature.feature) for own in value]
    return value
