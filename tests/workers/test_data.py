"""Data: every form it comes in, every way it can be wrong, and splits that never overlap."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data import Splits, load_splits
from autoprompt.workers.data_files import read_texts
from autoprompt.workers.data_spec import DataSpec
from tests.conftest import labels_of, write_texts
from tests.tiny import TEXTS

LABELS = ("negative", "positive")


def load(folder: Path, seed: int = 0, **spec: Any) -> Splits:
    return load_splits(DataSpec.model_validate(spec), labels_of(LABELS), folder, seed)


def all_texts(splits: Splits) -> list[str]:
    return [*splits.train.texts, *splits.validation.texts, *splits.test.texts]


def test_splits_are_balanced_disjoint_and_follow_from_the_seed(tmp_path: Path) -> None:
    write_texts(tmp_path / "a.csv")
    sizes = {"train": 40, "validation": 20, "test": 30}
    splits = load(tmp_path, path="a.csv", sizes=sizes)
    assert splits.sizes == sizes
    assert len(set(all_texts(splits))) == 90
    for split in (splits.train, splits.validation, splits.test):
        counts = Counter(split.labels)
        assert counts[0] == counts[1]
    right = {row["text"]: LABELS.index(row["label"]) for row in TEXTS}
    assert all(
        right[text] == label
        for text, label in zip(splits.train.texts, splits.train.labels, strict=True)
    )
    assert load(tmp_path, path="a.csv", sizes=sizes) == splits
    assert load(tmp_path, seed=1, path="a.csv", sizes=sizes) != splits


def test_the_test_split_stays_when_train_grows(tmp_path: Path) -> None:
    write_texts(tmp_path / "a.csv")
    small = load(tmp_path, path="a.csv", sizes={"train": 10, "validation": 20, "test": 30})
    large = load(tmp_path, path="a.csv", sizes={"train": 50, "validation": 20, "test": 30})
    assert small.test == large.test
    assert small.validation == large.validation
    assert small.fingerprint != large.fingerprint


def test_equal_texts_never_stand_in_two_splits(tmp_path: Path) -> None:
    write_texts(tmp_path / "a.csv", TEXTS * 3)
    splits = load(tmp_path, path="a.csv")
    texts = all_texts(splits)
    assert len(texts) == len(set(texts)) == 110  # 66 + 22 + 22 of 112


def test_a_csvs_cells_are_text_as_they_stand(tmp_path: Path) -> None:
    texts = ["None", "NA", "true", "01", "1.50", "", "  x"]
    rows = [{"text": text, "label": label} for text, label in zip(texts, texts[::-1], strict=True)]
    for name in ("a.csv", "a.tsv"):
        sign = "\t" if name.endswith("tsv") else ","
        lines = [sign.join(row.values()) for row in [{"text": "text", "label": "label"}, *rows]]
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for column, expected in (("text", texts), ("label", texts[::-1])):
            assert read_texts(tmp_path / name, {"text": column}) == expected


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_every_format(name: str, tmp_path: Path) -> None:
    rows = [{"review": row["text"], "mood": row["label"]} for row in TEXTS]
    path = tmp_path / name
    if name.endswith("parquet"):
        datasets.Dataset.from_list(rows).to_parquet(path)
    elif name.endswith("json"):
        path.write_text(json.dumps(rows))
    elif name.endswith("jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif name.endswith("tsv"):
        path.write_text("\n".join(["review\tmood"] + [f"{r['review']}\t{r['mood']}" for r in rows]))
    else:
        write_texts(path, rows)
    splits = load(tmp_path, path=name, text="review", label="mood")
    assert set(all_texts(splits)) <= {row["text"] for row in TEXTS}
    assert read_texts(path, {"text": "review"}) == [row["text"] for row in TEXTS]


def test_a_file_for_each_split_is_kept_apart(tmp_path: Path) -> None:
    write_texts(tmp_path / "train.csv", TEXTS)
    write_texts(tmp_path / "test.csv", TEXTS[:10])
    splits = load(tmp_path, path={"train": "train.csv", "test": "test.csv"})
    assert set(splits.test.texts) == {row["text"] for row in TEXTS[:10]}
    assert not set(splits.test.texts) & set(splits.train.texts + splits.validation.texts)


def test_labels_that_are_numbers(tmp_path: Path) -> None:
    write_texts(
        tmp_path / "a.csv",
        [{"text": row["text"], "label": str(int(row["label"] == "positive"))} for row in TEXTS],
    )
    splits = load_splits(DataSpec(path="a.csv"), labels_of(("0", "1")), tmp_path, 0)
    assert Counter(splits.test.labels)[0] == Counter(splits.test.labels)[1]


@pytest.mark.parametrize(
    ("rows", "spec", "words"),
    [
        (None, {"path": "none.csv"}, ["none.csv: no such file"]),
        (None, {"path": "a.csv", "text": "txt"}, ["no column 'txt'", "it has text, label"]),
        (None, {"path": "a.csv", "label": "y"}, ["no column 'y'", "data.label"]),
        (
            [*TEXTS, {"text": "meh", "label": "neutral"}],
            {"path": "a.csv"},
            ["label 'neutral' (1 row) has no word", "negative, positive"],
        ),
        ([*TEXTS, {"text": " ", "label": "positive"}], {"path": "a.csv"}, ["empty in row 113"]),
        (None, {"path": "a.csv", "sizes": {"train": 5000}}, ["train", "asked for", "data.sizes"]),
        (
            [row for row in TEXTS if row["label"] == "positive"],
            {"path": "a.csv"},
            ["a.csv: test", "empty"],
        ),
        (TEXTS[:2], {"path": "a.csv"}, ["the split is empty"]),
    ],
)
def test_what_is_wrong_is_named(rows: Any, spec: Any, words: list[str], tmp_path: Path) -> None:
    write_texts(tmp_path / "a.csv", rows)
    with pytest.raises(DataError) as caught:
        load(tmp_path, **spec)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as parquet"):
        load(tmp_path, path="a.parquet")
