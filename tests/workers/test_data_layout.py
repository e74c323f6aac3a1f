"""Data as people have it: columns by other names and within others, labels by other names, tags."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data import Split, read_labelled
from autoprompt.workers.data_files import label_names, read_texts
from autoprompt.workers.data_spec import DataSpec
from autoprompt.workers.rows import Text
from autoprompt.workers.spans import spans_in
from tests.conftest import labels_of

LABELS = labels_of(("negative", "positive"))


class AsItIs:
    """Takes what a cell holds for the right answer."""

    strata = ()

    def read(self, cell: Any, text: Text) -> str:
        if cell is None:
            raise ValueError("is no answer")
        return json.dumps(cell)

    def stratum(self, right: str) -> None:
        return None


class Spans(AsItIs):
    def read(self, cell: Any, text: Text) -> Any:
        return spans_in(cell, str(text))


def write(folder: Path, rows: list[dict[str, Any]], features: Any = None) -> str:
    path = folder / ("a.parquet" if features else "a.jsonl")
    if features:
        datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(path: str, answers: Any, reads: tuple[str, ...] = ("text",), **spec: Any) -> Split:
    data = DataSpec(path=path, **spec)
    return read_labelled(path, data.reader(data.named(reads), answers))


def test_columns_and_labels_by_other_names(tmp_path: Path) -> None:
    rows = [{"a": f"a{n}", "b": f"b{n}", "text": "t", "y": n % 2} for n in range(3)]
    path = write(tmp_path, rows)
    names = {"columns": {"premise": "a", "hypothesis": "b"}, "label": "y"}
    split = read(path, LABELS, ("premise", "hypothesis", "text"), **names,
                 label_map={0: "negative", 1: "positive"})  # fmt: skip
    assert [dict(text) for text in split.texts] == [
        {"premise": f"a{n}", "hypothesis": f"b{n}", "text": "t"} for n in range(3)
    ]
    assert split.labels == (0, 1, 0)
    assert label_names(path, tmp_path, None, "y", {"0": "no"}) == ["1", "no"]


def test_labels_that_are_named_once_more(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": " POS"}, {"text": "b", "label": "negative"}]
    assert read(write(tmp_path, rows), LABELS, label_map={"POS": "positive"}).labels == (1, 0)


def test_class_labels_are_their_names(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["negative", "positive"])
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": names,
            "all": datasets.List(names),
            "spans": datasets.List({"start": datasets.Value("int64"), "label": names}),
        }
    )
    rows = [{"text": "a", "label": 1, "all": [1, 0], "spans": [{"start": 0, "label": 1}]},
            {"text": "b", "label": 0, "all": [], "spans": []}]  # fmt: skip
    path = write(tmp_path, rows, features)
    assert read(path, LABELS).labels == (1, 0)
    assert read(path, AsItIs(), label="all").labels == ('["positive", "negative"]', "[]")
    assert read(path, AsItIs(), label="spans").labels[0] == '[{"start": 0, "label": "positive"}]'
    assert read(path, AsItIs(), label="spans.label").labels[0] == '["positive"]'
    assert label_names(path, tmp_path, None, "label", {}) == ["negative", "positive"]
    missing = write(tmp_path, [rows[0] | {"label": -1}], features)
    with pytest.raises(DataError, match=r"label -1 \(1 row\) has no word"):
        read(missing, LABELS)


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["in London", "London"], "answer_start": [3, 6]},
        [{"text": "in London", "answer_start": 3}, {"text": "London", "answer_start": 6}],
    ],
)
def test_answers_within_a_column(answers: Any, tmp_path: Path) -> None:
    rows = [{"id": {"title": f"t{n}"}, "q": f"q{n}", "answers": answers} for n in range(2)]
    path = write(tmp_path, rows)
    split = read(path, AsItIs(), text="id.title", label="answers.text")
    assert split.labels == ('["in London", "London"]',) * 2
    assert split.texts == ("t0", "t1")
    assert read_texts(Path(path), {"text": "id.title"}) == ["t0", "t1"]
    with pytest.raises(DataError, match=r"column 'answers\.words': row 1 has no 'words'"):
        read(path, AsItIs(), text="q", label="answers.words")
    with pytest.raises(DataError, match=r"no column 'answer\.text'; it has id, q, answers"):
        read(path, AsItIs(), text="q", label="answer.text")


def test_a_column_with_a_dot_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("answers.text,label\nyes,positive\n")
    split = read(str(tmp_path / "a.csv"), LABELS, text="answers.text")
    assert (split.texts, split.labels) == (("yes",), (1,))


TAGGED = [
    {"words": ["Ada", "met", "Babbage"], "tags": ["B-PER", "O", "B-PER"]},
    {"words": ["in", "New", "York"], "tags": ["O", "B-LOC", "I-LOC"]},
]


def test_tags_become_spans_of_the_text(tmp_path: Path) -> None:
    tagged = {"tokens": "words", "label": "tags"}
    split = read(write(tmp_path, TAGGED), Spans(), **tagged, label_map={"PER": "person"})
    assert split.texts == ("Ada met Babbage", "in New York")
    assert split.labels == (((0, 3, "person"), (8, 15, "person")), ((3, 11, "LOC"),))
    numbers = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    rows = [row | {"tags": [numbers.index(tag) for tag in row["tags"]]} for row in TAGGED]
    by_number = dict(enumerate(numbers))
    again = read(write(tmp_path, rows), Spans(), **tagged, label_map=by_number)
    assert again.labels[1] == split.labels[1]
    features = datasets.Features(
        {
            "words": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=numbers)),
        }
    )
    assert read(write(tmp_path, rows, features), Spans(), **tagged).labels == again.labels


def test_what_is_wrong_with_rows_is_told_with_the_first_and_how_many_more(tmp_path: Path) -> None:
    rows = [*TAGGED, {"words": ["a", "b"], "tags": ["O", "PER"]}]
    rows += [{"words": ["c"], "tags": ["O", "O"]}] * 2
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, rows), Spans(), tokens="words", label="tags")
    assert str(caught.value).endswith(
        "label ['O', 'O'] (2 rows) is 2 tags for 1 tokens; see row 4, and 1 more rows are wrong "
        "likewise"
    )
    spans = json.dumps([{"start": 0, "end": 4, "label": "x"}])
    rows = [{"text": text, "label": spans} for text in ("four", "abc", "ab")]
    with pytest.raises(
        DataError, match=r"which is none of its text of 3 char.*; see row 2, and 1 "
    ):
        read(write(tmp_path, rows), Spans())


def test_places_count_the_white_space_before_a_text(tmp_path: Path) -> None:
    rows = [{"text": "  Ada met", "label": [{"start": 2, "end": 5, "label": "x"}]}]
    split = read(write(tmp_path, rows), Spans())
    assert (split.texts, split.labels) == (("Ada met",), (((0, 3, "x"),),))
