"""Charts as numbers: where things lie in an SVG, for `templates/charts.svg.j2` to draw.

Drawn here rather than by a plotting library: plotly.js alone would take 4.5 MB of a page that is
otherwise a few hundred KB, and needs scripts where these need none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Of every chart, in units of the SVG, with its axes' margins.
WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic scale.

    Attributes:
        title: what it measures, with its unit.
        ticks: each a value's place, 0 to 1, and its label.
    """

    title: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def over(
        cls,
        title: str,
        values: Sequence[float],
        *,
        log: bool = False,
        zero: bool = False,
        room: float = 0.05,
    ) -> "Axis":
        """The axis that shows all values, with a little room on both sides.

        Args:
            log: logarithmic, where the values are above 0 and far enough apart to need it.
            zero: begin at 0.
            room: on each side, as a part of the whole.
        """
        low, high = min(values), max(values)
        if log and low > 0 and high / low >= 8:
            wider = (high / low) ** room
            return cls(title, low / wider, high * wider, log=True)
        low = min(low, 0.0) if zero else low
        margin = (high - low or abs(high) or 1.0) * room
        return cls(title, low if zero else low - margin, high + margin)

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        return [(self.place(value), f"{value:g}") for value in self._tick_values()]

    def _tick_values(self) -> Iterator[float]:
        if self.log:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)))
            values = [digit * 10.0**power for power in exponents for digit in (1, 2, 5)]
            yield from (value for value in values if self.low <= value <= self.high)
            return
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough)
        for count in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield round(count * step, 10)


@dataclass(frozen=True)
class Point:
    """A trial in a chart.

    Attributes:
        kind, state: how it is drawn.
        title: what it says when pointed at.
    """

    x: float
    y: float
    trial: int
    kind: str
    state: str
    title: str


@dataclass(frozen=True)
class Scatter:
    """Points over two axes, with a line of (x, y) behind them where one is given."""

    x: Axis
    y: Axis
    points: Sequence[Point]
    line: Sequence[tuple[float, float]] = ()

    def left(self, value: float) -> float:
        """A value of the x axis in units of the SVG."""
        return round(LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT), 1)

    def top(self, value: float) -> float:
        """A value of the y axis in units of the SVG."""
        return round(HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def path(self) -> str:
        """The line as an SVG path of steps: each y holds until the next x."""
        corners = [f"M{self.left(x)} {self.top(y)}" for x, y in self.line[:1]]
        corners += [f"H{self.left(x)}V{self.top(y)}" for x, y in self.line[1:]]
        return "".join(corners)
