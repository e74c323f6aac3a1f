"""Splits of any data: as large as asked for, nothing in two of them, the same by the same seed."""

import csv
import tempfile
from collections import Counter
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from autoprompt.search_spaces.documents import parse
from autoprompt.search_spaces.errors import ConfigError, DataError
from autoprompt.workers.class_weights import balanced_weights
from autoprompt.workers.data import Split, Splits, load_splits
from autoprompt.workers.data_files import SPLITS, Labelled
from autoprompt.workers.data_spec import DataSpec
from autoprompt.workers.duplicates import normalised
from autoprompt.workers.splitting import split_rows
from tests.conftest import labels_of, write_texts
from tests.tiny import TEXTS

NAMES = ("no", "yes", "maybe")
LABELS = labels_of(NAMES)


def divided(rows: list[Labelled], seed: int = 0, **spec: Any) -> dict[str, list[Labelled]]:
    return split_rows({"train": rows}, DataSpec(path="a.csv", **spec), LABELS, "a.csv", seed)


def made(counts: tuple[int, ...], groups: int = 0) -> list[Labelled]:
    """Rows with so many of each label, spread over groups."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return [
        Labelled(f"text {place}", label, f"g{place * 7 % groups}" if groups else None)
        for place, label in enumerate(labels)
    ]


counts = st.tuples(*[st.integers(3, 40)] * 3)
sizes = st.fixed_dictionaries({name: st.integers(1, 12) for name in SPLITS})
balances = st.sampled_from([True, False, "stratified"])
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(counts, sizes, balances, seeds, st.integers(0, 30))
def test_no_text_and_no_group_is_in_two_splits_and_sizes_are_kept(
    counts: tuple[int, ...], sizes: dict[str, int], balanced: Any, seed: int, groups: int
) -> None:
    rows = made(counts, groups)
    spec = {"sizes": sizes, "balanced": balanced, "group": "g" if groups else None}
    try:
        splits = divided(rows, seed, **spec)
    except DataError as error:
        assume("asked for" not in str(error))
        raise
    assert {name: len(own) for name, own in splits.items()} == sizes
    for one, other in combinations(SPLITS, 2):
        assert not {row.text for row in splits[one]} & {row.text for row in splits[other]}
        if groups:
            assert not {row.group for row in splits[one]} & {row.group for row in splits[other]}
    assert divided(rows, seed, **spec) == splits


@settings(deadline=None)
@given(counts, sizes, seeds)
def test_stratified_splits_keep_the_proportions(
    counts: tuple[int, ...], sizes: dict[str, int], seed: int
) -> None:
    assume(sum(sizes.values()) <= sum(counts))
    splits = divided(made(counts), seed, sizes=sizes, balanced="stratified")
    for rows in splits.values():
        found = Counter(row.right for row in rows)
        for label, count in enumerate(counts):
            part = Fraction(count, sum(counts)) * len(rows)
            # Each split is cut within a text of what is left, and what is left of the whole.
            assert abs(found[label] - part) < 3
    test = Counter(row.right for row in splits["test"])
    assert all(
        abs(test[label] - Fraction(count, sum(counts)) * sizes["test"]) < 1
        for label, count in enumerate(counts)
    )


@settings(deadline=None)
@given(st.integers(1, 5), balances, seeds)
def test_shots_are_so_many_texts_of_each_label(shots: int, balanced: Any, seed: int) -> None:
    rows = made((30, 20, 40))
    splits = divided(rows, seed, shots=shots, balanced=balanced, sizes={"test": 9})
    for name in ("train", "validation"):
        assert Counter(row.right for row in splits[name]) == dict.fromkeys(range(3), shots)
    assert len(splits["test"]) == 9
    more = divided(rows, seed, shots=shots, sizes={"test": 9, "validation": 12})
    assert (len(more["train"]), len(more["validation"])) == (3 * shots, 12)


def test_more_shots_than_there_are() -> None:
    with pytest.raises(
        DataError, match=r"10 texts labelled 'yes' asked for, 3 left; lower data\.shots"
    ):
        divided(made((30, 14, 40)), shots=10, sizes={"test": 3})


def test_fractions_with_groups_take_what_groups_leave() -> None:
    rows = made((40, 40, 40), groups=11)
    splits = divided(rows, group="g")
    assert len(splits["test"]) == 24
    assert 24 < len(splits["train"]) <= 72
    found = [{row.group for row in own} for own in splits.values()]
    assert sum(map(len, found)) == len(set().union(*found)) == 11


def test_groups_come_in_another_order_with_another_seed() -> None:
    rows = made((40, 40, 40), groups=20)
    tests = [{row.group for row in divided(rows, seed, group="g")["test"]} for seed in range(4)]
    assert len({frozenset(each) for each in tests}) > 1


#: What the same configurations gave before there were groups, shots and strata.
@pytest.mark.parametrize(
    ("spec", "fingerprint"),
    [
        ({}, "13af023e6e369b42"),
        ({"sizes": {"train": 31, "validation": 20, "test": 0.3}}, "9beeff898e53a731"),
        ({"balanced": False}, "14ef82326512b06d"),
        ({"balanced": False, "sizes": {"train": 41, "test": 0.15}}, "2c12b9f589de7e9c"),
        ({"path": {"train": "train.csv", "test": "test.csv"}}, "65c57ee1fae0af61"),
        (
            {"path": {"train": "train.csv", "test": "test.csv"}, "sizes": {"test": 9}},
            "1259c24f38fa3bba",
        ),
    ],
)
def test_splits_are_what_they_always_were(
    spec: dict[str, Any], fingerprint: str, tmp_path: Path
) -> None:
    write_texts(tmp_path / "a.csv")
    write_texts(tmp_path / "train.csv", TEXTS[30:])
    write_texts(tmp_path / "test.csv", TEXTS[:30])
    read = DataSpec.model_validate({"path": "a.csv"} | spec)
    labels = labels_of(("negative", "positive"))
    assert load_splits(read, labels, tmp_path, 3).fingerprint == fingerprint
    stored = DataSpec.model_validate(read.model_dump(mode="json"))
    assert load_splits(stored, labels, tmp_path, 3).fingerprint == fingerprint


def load(folder: Path, rows: list[dict[str, str]], **spec: Any) -> Splits:
    write_texts(folder / "a.csv", rows)
    return load_splits(DataSpec(path="a.csv", **spec), LABELS, folder, 1)


words = st.sampled_from(
    ["a joy", "A joy", "a joy!", "a  joy", "so-so", "so so", "SOSO", ":)", ":("]
)


@settings(max_examples=15, deadline=None)
@given(st.lists(words, min_size=4, max_size=30))
def test_no_duplicate_is_in_two_splits_on_request(texts: list[str]) -> None:
    rows = [
        {"text": f"{text} {place % 9}", "label": NAMES[place % 2]}
        for place, text in enumerate(texts)
    ]
    with tempfile.TemporaryDirectory() as folder:
        try:
            splits = load(Path(folder), rows, duplicates="drop", balanced=False,
                          sizes={"train": 0.4, "validation": 0.3, "test": 0.3})  # fmt: skip
        except DataError as error:
            assume("the split is empty" not in str(error))
            raise
    assert splits.repeated == 0
    texts = [*splits.train.texts, *splits.validation.texts, *splits.test.texts]
    assert len(set(map(normalised, texts))) == len(texts)


def test_duplicates_are_counted(tmp_path: Path) -> None:
    rows = [
        {"text": form.format(place), "label": NAMES[place % 3]}
        for place in range(30)
        for form in ("it is {}", "It is {}!")
    ]
    splits = load(tmp_path, rows, balanced=False)
    held_out = {*splits.validation.texts, *splits.test.texts}
    assert 10 < splits.repeated <= len(held_out)
    assert splits.notes == ()
    dropped = load(tmp_path, rows, balanced=False, duplicates="drop")
    assert sum(dropped.sizes.values()) == 30
    assert dropped.notes[0].startswith("30 texts are left out: but for case")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A  joy!", "a joy", True),
        ("don't", "dont", True),
        ("Straße", "STRASSE", True),
        (":)", ":(", False),
        ("no where", "nowhere", False),
        ("कि", "का", False),
        ("good 😀", "good 😡", False),
    ],
)
def test_what_makes_texts_alike(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


def test_a_group_in_a_held_out_file_is_in_no_other(tmp_path: Path) -> None:
    for name, places in (("train", range(40)), ("test", range(40, 45))):
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [(f"text {place}", NAMES[place % 3], place % 10) for place in places]
            csv.writer(file).writerows([("text", "label", "who"), *rows])
    spec = DataSpec.model_validate(
        {"path": {"train": "train.csv", "test": "test.csv"}, "group": "who", "balanced": False}
    )
    splits = load_splits(spec, LABELS, tmp_path, 0)
    assert set(splits.test.groups) == set("01234")
    assert not set(splits.test.groups) & {*splits.train.groups, *splits.validation.groups}
    assert not set(splits.train.groups) & set(splits.validation.groups)
    assert splits.notes == ("20 texts are left out: their who is in a held-out file, too",)
    both = splits.train.beside(splits.validation)
    assert both.at([3]).groups == (both.groups[3],)


def test_a_row_without_a_group(tmp_path: Path) -> None:
    rows = [{"text": str(place), "label": "no", "who": "me" if place else ""} for place in range(9)]
    with pytest.raises(DataError, match=r"column 'who' is empty in row 1 \(1 such rows\)"):
        load(tmp_path, rows, group="who")


def test_answers_without_labels_are_not_balanced() -> None:
    class Free:
        strata = ()

        def read(self, cell: Any, text: Any) -> Any:
            return cell

        def stratum(self, right: Any) -> None:
            return None

    rows = [Labelled(f"text {place}", ("a", place)) for place in range(10)]
    spec = DataSpec(path="a.csv")
    splits = split_rows({"train": rows}, spec, Free(), "a.csv", 0)
    assert {name: len(own) for name, own in splits.items()} == {
        "train": 6, "validation": 2, "test": 2,
    }  # fmt: skip
    with pytest.raises(DataError, match="shots counts texts a label, and these have none"):
        split_rows({"train": rows}, DataSpec(path="a", shots=2), Free(), "a.csv", 0)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1))
def test_class_weights_are_scikit_learns(labels: list[int]) -> None:
    weights = balanced_weights(labels, 4)
    there = np.unique(labels)
    assert weights[there] == pytest.approx(
        compute_class_weight("balanced", classes=there, y=labels)
    )
    assert weights[labels].mean() == pytest.approx(1.0)
    assert not weights[np.setdiff1d(range(4), there)].any()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"balanced": "even"}, "balanced: true, false or stratified, not 'even'"),
        ({"shots": 0}, "shots"),
        ({"shots": 4, "sizes": {"train": 3}}, "shots and sizes.train both say how many"),
        ({"tokens": "words", "text": "t"}, "one of text, tokens and columns.text"),
        ({"label_map": ["a"]}, "label_map: expected a mapping"),
        ({"duplicates": "tell"}, "duplicates"),
    ],
)
def test_a_configuration_that_makes_no_sense(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(DataSpec, {"path": "a.csv"} | spec, "a.yaml")


def test_what_is_stored_of_few_shots_is_read_again() -> None:
    spec = DataSpec(path="a.csv", shots=4, tokens="words")
    stored = DataSpec.model_validate(spec.model_dump(mode="json"))
    assert stored == spec
    assert not stored.sizes.model_fields_set
    assert Split((), ()).beside(Split(("a",), (0,), ("g",))).groups == ("g",)
