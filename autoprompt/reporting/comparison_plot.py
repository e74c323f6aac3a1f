"""A comparison of two searches drawn: each difference with its interval, as an SVG file."""

from pathlib import Path
from typing import Any

from autoprompt.new_files import made_whole
from autoprompt.reporting.charts import WIDTH, Axis
from autoprompt.reporting.page import environment

#: Units of the SVG: of each row, of what stands before the first one and behind the last, and of
#: the margins that rows are drawn between.
_ROW, _TOP, _BOTTOM, _LEFT, _RIGHT = 44, 58, 72, 110, 24


def write_plot(comparison: dict[str, Any], path: str | Path) -> Path:
    """Draw what `evaluation.comparison.compare` returned into a new file.

    Raises:
        BadInputError: the file exists, or its folder does not.
    """
    names = {"best": "best prompt", "ensemble": "ensemble"}
    rows = {shown: comparison[name] for name, shown in names.items()}
    ends = [
        end
        for row in rows.values()
        for drawn in (row, row["corrected"])
        for end in (drawn["low"], drawn["high"])
    ]
    axis = Axis.over(f"difference in {comparison['metric']}, a less b", [*ends, 0.0])

    def left(value: float) -> float:
        return round(_LEFT + axis.place(value) * (WIDTH - _LEFT - _RIGHT), 1)

    drawn = environment().get_template("comparison.svg.j2").render(
        comparison=comparison, rows=rows, axis=axis, left=left,
        width=WIDTH, row_height=_ROW, top=_TOP, bottom=_BOTTOM, edges=(_LEFT, WIDTH - _RIGHT),
    )  # fmt: skip
    with made_whole(Path(path), "--plot") as unfinished:
        unfinished.write_text(drawn, encoding="utf-8")
    return Path(path)
