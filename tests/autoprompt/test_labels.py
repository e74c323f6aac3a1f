"""Labels as a table hold nothing that a spreadsheet runs; as JSON they are exact."""

import csv
import io
import json

import pytest

from autoprompt.cli.labels import JsonDocument, JsonLines, Table

FORMULAS = ['=HYPERLINK("http://a.b","c")', "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]
PLAIN = ["a joy", "1 = 1", "-5", "+1.5", "-.5e-3", "'=1", "", " =1", "a\r=1"]


def row(text: str) -> dict[str, object]:
    shares = {"=bad": 0.25, "good": 0.75}
    return {"search": "-mine", "text": text, "label": "=bad", "probability": 0.25, "votes": 1.0} | {
        "probabilities": shares
    }


@pytest.mark.parametrize("text", FORMULAS + PLAIN)
def test_a_table_begins_no_cell_with_a_formula(text: str) -> None:
    stream = io.StringIO(newline="")
    Table(stream, ["=bad", "good"], named=True).write([row(text)])
    [cells] = csv.DictReader(io.StringIO(stream.getvalue(), newline=""))
    assert cells == {
        "search": "'-mine",
        "text": f"'{text}" if text in FORMULAS else text,
        "label": "'=bad",
        "probability": "0.25",
        "votes": "1.0",
        "p_=bad": "0.25",
        "p_good": "0.75",
    }


@pytest.mark.parametrize("text", FORMULAS + PLAIN)
def test_json_is_exact(text: str) -> None:
    lines, document = io.StringIO(), io.StringIO()
    JsonLines(lines).write([row(text)])
    writer = JsonDocument(document)
    writer.write([row(text)])
    writer.end()
    assert json.loads(lines.getvalue()) == row(text)
    assert json.loads(document.getvalue()) == [row(text)]
