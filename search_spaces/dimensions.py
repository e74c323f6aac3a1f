"""Dimensions of a space: one value (fixed), a list (categorical), or `{low, high, log}` (range)."""

import math
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, Discriminator, Tag, model_validator

from autoprompt.search_spaces.documents import Document

V = TypeVar("V")
N = TypeVar("N", int, float)


class Range(Document, Generic[N]):
    """Every number from `low` to `high`, both included; `log` samples their logarithm evenly."""

    #: The least value.
    low: N
    #: The largest value.
    high: N
    #: Draw their logarithm evenly.
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Range[N]":
        if self.low > self.high:
            raise ValueError(f"reversed range: low {self.low} is above high {self.high}; swap them")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range starts above 0, not at {self.low}")
        return self


def _shape(value: Any) -> str:
    if isinstance(value, (dict, Range)):
        return "range"
    return "choices" if isinstance(value, (list, tuple)) else "fixed"


def _some(values: tuple[V, ...]) -> tuple[V, ...]:
    if not values:
        raise ValueError("an empty list leaves nothing to choose from")
    if len(set(values)) < len(values):
        raise ValueError(f"the list names a value twice: {', '.join(map(str, values))}")
    return values


Choices = Annotated[tuple[V, ...], AfterValidator(_some), Tag("choices")]
Categorical = Annotated[Annotated[V, Tag("fixed")] | Choices[V], Discriminator(_shape)]
Numeric = Annotated[
    Annotated[N, Tag("fixed")] | Choices[N] | Annotated[Range[N], Tag("range")],
    Discriminator(_shape),
]


def values_of(dimension: Any) -> tuple[Any, ...]:
    """The values a dimension names: its choices, its two ends, or its one value."""
    if isinstance(dimension, Range):
        return (dimension.low, dimension.high)
    return dimension if isinstance(dimension, tuple) else (dimension,)


def _above(least: float, *, inclusive: bool) -> AfterValidator:
    def check(dimension: Any) -> Any:
        for value in values_of(dimension):
            if not math.isfinite(value):
                raise ValueError(f"must be a finite number, not {value}")
            if value < least or (value == least and not inclusive):
                raise ValueError(
                    f"must be {'at least' if inclusive else 'above'} {least:g}, not {value}"
                )
        return dimension

    return AfterValidator(check)


Count = Annotated[Numeric[int], _above(1, inclusive=True)]
Rate = Annotated[Numeric[float], _above(0, inclusive=False)]
Amount = Annotated[Numeric[float], _above(0, inclusive=True)]
#: A count that may be none.
Amounts = Annotated[Numeric[int], _above(0, inclusive=True)]
