"""What is told of the splits before a search starts, and what stops it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autoprompt.config import SearchConfig
from autoprompt.controller.bagging import folds_of
from autoprompt.preparation.folds_check import check_folds
from autoprompt.preparation.label_names import with_label_names
from autoprompt.preparation.prepare import prepare
from autoprompt.preparation.splits_check import check_splits
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import BadInputError, ConfigError, DataError
from autoprompt.search_spec import BaggingSpec
from autoprompt.workers.data import Split, Splits
from tests.conftest import labels_of, write_texts, write_yaml
from tests.tiny import TEXTS

LABELS = labels_of(("no", "yes", "maybe"))


class Told(SearchProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def split(*labels: int, word: str = "", groups: tuple[str, ...] = ()) -> Split:
    return Split(tuple(f"{word} {place}" for place in range(len(labels))), labels, groups)


def config(folder: Path, task: dict[str, Any] | None = None, **data: Any) -> SearchConfig:
    write_texts(folder / "a.csv", [row | {"who": row["text"][:8]} for row in TEXTS])
    content = {
        "model": "m",
        "data": {"path": "a.csv"} | data,
        "task": {"template": "{text}:"} | (task or {}),
        "space": "quick",
        "bagging": {"folds": 5},
    }
    return SearchConfig.read(write_yaml(folder / "a.yaml", content))


def test_a_label_that_nothing_is_learnt_of() -> None:
    splits = Splits(split(0, 0), split(0, 1, 2, 2), split(2, 0))
    with pytest.raises(DataError) as caught:
        check_splits(splits, LABELS, "a.yaml", Told())
    assert str(caught.value) == (
        "a.yaml: no train text is labelled 'maybe', and 3 validation or test texts are, and so "
        "with 1 more labels; train on more (data.sizes), set data.balanced to stratified, or leave "
        "these texts out"
    )
    check_splits(Splits(split(0, 1, 2), split(0, 1, 2, 2), split(2)), LABELS, "a.yaml", Told())


def test_what_was_left_out_and_what_is_in_two_splits_is_told() -> None:
    told = Told()
    train, validation = split(0, 0, word="A!"), split(0, 0, 0, word="a")
    check_splits(Splits(train, validation, split(0, word="b"), ("so it is",)), LABELS, "a", told)
    assert told.lines == [
        "so it is",
        "2 train or validation texts are in a held-out split, too, but for case, white space and "
        "punctuation; data.duplicates: drop leaves them out",
    ]


def test_labels_are_called_as_they_are_mapped(tmp_path: Path) -> None:
    named = with_label_names(config(tmp_path, label_map={"negative": "bad"}), Told())
    assert dict(named.task.label_words) == {"bad": ("bad",), "positive": ("positive",)}
    assert Counter(named.splits().test.labels) == {0: 11, 1: 11}


@pytest.mark.parametrize(
    ("data", "column"), [({"columns": {"premis": "text"}}, "premis"), ({"tokens": "t"}, "text")]
)
def test_a_column_that_no_template_reads(data: Any, column: str, tmp_path: Path) -> None:
    template = {"template": "{premise} is:"}
    with pytest.raises(ConfigError, match=rf"a column for {{{column}}}, and .* reads {{premise}}"):
        config(tmp_path, template, **data)


def test_groups_stay_together_in_splits_and_folds(tmp_path: Path) -> None:
    read = with_label_names(config(tmp_path, group="who"), Told())
    splits = read.splits()
    pool = splits.train.beside(splits.validation)
    assert not set(pool.groups) & set(splits.test.groups)
    folds = folds_of(pool.labels, BaggingSpec(folds=3), 0, pool.groups)
    found = [{pool.groups[place] for place in left_out} for left_out in folds.values()]
    assert sum(map(len, found)) == len(set(pool.groups)) == len(set().union(*found))
    assert sorted(place for own in folds.values() for place in own) == list(range(len(pool)))
    check = config(tmp_path, {"label_words": {"negative": "a", "positive": "b"}}, group="who")
    few = Splits(split(0, 1, groups=("a", "b")), split(0, 1, groups=("a", "b")), split(0))
    with pytest.raises(BadInputError, match="5 folds, and the labelled texts have 2 values of 'wh"):
        check_folds(check, few)


def test_a_search_with_nothing_to_learn_a_label_from_does_not_start(tmp_path: Path) -> None:
    write_texts(tmp_path / "train.csv", [row for row in TEXTS[42:] if row["label"] == "positive"])
    write_texts(tmp_path / "test.csv", TEXTS[:42])
    words = {"label_words": {"negative": "negative", "positive": "positive"}}
    paths = {"train": "train.csv", "test": "test.csv"}
    with pytest.raises(DataError, match=r"a\.yaml: no train text is labelled 'negative', and 21 "):
        prepare(config(tmp_path, words, path=paths, balanced=False), Told())
