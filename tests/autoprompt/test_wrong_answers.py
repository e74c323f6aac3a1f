"""Where an ensemble was wrong: errors are put into groups, tested, and on request told without any
word of the data."""

import html
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from autoprompt.evaluation.error_groups import by_cluster, by_label, by_length, by_word
from autoprompt.evaluation.held_out_answers import HeldOutAnswers
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.evaluation.where_wrong import where_wrong
from autoprompt.reporting.report import render
from autoprompt.reporting.wrong_answers import wrong_answers
from autoprompt.results import SearchResult
from autoprompt.store import State, Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.combination import heads
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.wording import Wording
from benchmarks.many_trials import VERSIONS
from tests.conftest import DEMO_TASK, write_texts

#: Every word is of the data alone, whether or not the texts it stands in are shown.
THINGS = ("zebra", "giraffe", "okapi", "gnu")
FILLERS = ("qualm", "quibble", "quirk", "quota", "quaver", "quarry", "quince", "quiver")
LABELS = ("negative", "positive")
ANSWERS = answers_of(Wording(label_words={label: (label,) for label in LABELS}))


def made_rows(count: int) -> list[dict[str, str]]:
    rng = random.Random(0)
    return [
        {
            "text": " ".join([THINGS[number % 4], *rng.choices(FILLERS, k=3), f"q{number}"]),
            "label": LABELS[number // 4 % 2],
        }
        for number in range(count)
    ]


def answered(texts: Any, labels: Any, seed: int) -> Any:
    """[B, 2], what a prompt says that is wrong of most texts with a zebra, and of few others."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(texts)) < np.array([0.8 if "zebra" in text else 0.1 for text in texts])
    decided = np.where(wrong, 1 - np.array(labels), labels)
    return np.log(np.where(np.eye(2)[decided] > 0, 0.9, 0.1)).astype(np.float32)


@pytest.fixture(scope="module")
def zebras(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A finished search whose three members are wrong of zebras."""
    folder = tmp_path_factory.mktemp("zebras")
    data = write_texts(folder / "texts.csv", made_rows(400))
    store = Store.open(f"sqlite:///{folder / 'store.db'}")
    config = {
        "model": {"path": "none"},
        "data": {"path": str(data), "sizes": {"train": 40, "validation": 160, "test": 200}},
        "task": DEMO_TASK.model_dump(mode="json"),
        "space": {"hard": {"tokens": 2, "start": "in short"}},
        "ensemble": {"size": 3, "vote": "majority"},
    }
    search = store.create_search(
        name="made", model="none", metric="accuracy", seed=0, config=config,
        versions=dict.fromkeys(VERSIONS, "-"),
        data={"train": 40, "validation": 160, "test": 200, "truncated": 0},
        validation_labels=[0, 1], ensemble=None,
    )  # fmt: skip
    splits = SearchResult(store, search).config.splits(0)
    validation, test = splits.validation, splits.test
    for number in range(3):
        store.start_trial(search.id, number, kind="hard", plan={}, params={}, distributions={})
        said = answered(validation.texts, validation.labels, number)
        store.record_rung(
            search.id,
            number,
            {"rung": 0, "step": 1, "score": 0.7, "loss": 0.5, "train_loss": 0.5, "seconds": 1.0},
            {"digest": str(number), "text": f"prompt {number}"}
            | {"content": Prompt(f"prompt {number}", (number, 1)).to_bytes()}
            | {"log_probs": save({"log_probs": said})},
            {},
        )
        store.finish_trial(search.id, number, State.COMPLETE)
    store.update_search(
        search.id,
        versions=search.versions | {"data": splits.fingerprint},
        validation_labels=list(validation.labels),
        ensemble={"members": [0, 1, 2], "vote": "majority", "validation": 0.7},
    )
    store.finish_search(search.id, State.FINISHED)
    opening = store.open_evaluation(
        search.id, source="test", fingerprint=test.fingerprint, purpose="search", opened_by="me"
    )
    said = np.stack([answered(test.texts, test.labels, 3 + number) for number in range(5)])
    answers = answers_of(DEMO_TASK)
    kept = HeldOutAnswers.of(answers, test.labels, heads([1.0] * 3), said)
    score = {"score": 0.7, "low": 0.6, "high": 0.8, "method": "wilson"}
    result = dict.fromkeys(("no_prompt", "best", "mean", "ensemble"), score)
    members = [score | {"number": number} for number in range(3)]
    store.record_evaluation(
        search.id, opening, result | {"texts": 200, "members": members}, kept.packed(answers)
    )
    return SearchResult(store, store.find("made"))


def test_the_word_and_the_cluster_that_are_wrong_are_found_on_both_splits(
    zebras: SearchResult,
) -> None:
    for where, texts in zip(
        wrong_answers(zebras, splits_of(zebras.record)), (160, 200), strict=True
    ):
        assert where.texts == texts
        assert sum(group.texts for group in where.labels) == texts
        assert sum(group.wrong for group in where.labels) == where.wrong
        for groups in (where.lengths, where.clusters):
            assert sum(group.texts for group in groups) == texts
            assert sum(group.wrong for group in groups) == where.wrong
        word, *others = where.words
        assert len(others) <= 1
        assert all(other.p > 0.01 for other in others)
        assert (word.name, word.p < 1e-6) == ("zebra", True)
        assert word.wrong / word.texts == word.error.score > 0.6
        assert where.clusters[0].p < 0.001
        assert "zebra" in where.clusters[0].note
        assert min(group.p for group in [*where.labels, *where.lengths]) > 0.01


def test_wrong_texts_stand_with_their_votes(zebras: SearchResult) -> None:
    splits = splits_of(zebras.record)
    where = wrong_answers(zebras, splits)[1]
    assert where.split == "test"
    assert 20 < len(where.listed) <= 25 < where.wrong
    right = [len(row.votes.get(row.expected, ())) for row in where.listed]
    assert right == sorted(right)
    assert set(right) == {0, 1}
    for row in where.listed:
        assert row.text == splits.test.texts[row.place - 1]
        assert row.expected == LABELS[splits.test.labels[row.place - 1]] != row.decided
        assert len(row.votes[row.decided]) > 1
        voters = [voter for label in row.votes.values() for voter in label.items()]
        assert sorted(voters) == [(0, 1), (1, 1), (2, 1)]


def test_the_report_shows_them_and_no_word_of_the_data_where_none_was_asked_for(
    zebras: SearchResult, tmp_path: Path
) -> None:
    words = {*THINGS, *FILLERS, *(f" q{number}" for number in range(400))}
    shown, hidden = render(zebras), render(zebras, texts=False)
    assert "zebra" in shown
    assert shown.count('class="where-wrong"') == hidden.count('class="where-wrong"') == 2
    assert [word for word in words if word in html.unescape(hidden)] == []
    assert "cluster 1" in hidden
    assert "characters" in hidden
    assert "Words and texts are left out, as was asked." in hidden


def test_without_the_data_labels_and_votes_are_left(zebras: SearchResult) -> None:
    for where in wrong_answers(zebras, None):
        assert (where.lengths, where.words, where.clusters) == ([], [], [])
        assert where.wrong == sum(group.wrong for group in where.labels)
        assert where.listed
        assert {row.text for row in where.listed} == {None}


def test_an_older_versions_test_split_has_no_errors_to_look_into(zebras: SearchResult) -> None:
    opening = zebras.test_opening
    assert opening is not None
    assert opening.result is not None
    content = zebras._store.predictions(opening.id)
    zebras._store.record_evaluation(zebras.id, opening.id, opening.result)
    try:
        assert [where.split for where in wrong_answers(zebras, None)] == ["validation"]
    finally:
        zebras._store.record_evaluation(zebras.id, opening.id, opening.result, content)


def test_labels_are_told_with_what_they_were_taken_for() -> None:
    expected, decided = np.array([0] * 6 + [1] * 4), np.array([0, 1, 1, 2, 0, 0, 1, 1, 1, 1])
    first, second = by_label(expected, decided, ["a", "b", "c"])
    assert (first.name, first.texts, first.wrong, first.note) == ("a", 6, 3, "mostly taken for b")
    assert (second.name, second.texts, second.wrong, second.note) == ("b", 4, 0, "")
    # C(4, 0) C(6, 3) / C(10, 3), twice as there are two.
    assert first.p == pytest.approx(2 * 20 / 120)


def test_bins_of_length_are_as_full_as_ties_allow() -> None:
    texts = ["x" * number for number in range(1, 101)]
    wrong = np.array([number > 80 for number in range(1, 101)])
    groups = by_length(texts, wrong)
    assert [group.name.split()[0] for group in groups] == ["1", "21", "41", "61", "81"]
    assert [group.wrong for group in groups] == [0, 0, 0, 0, 20]
    assert by_length(["same"] * 100, wrong) == []
    assert by_length(texts[:30], wrong[:30]) == []


def test_chance_alone_makes_few_words_stand_out() -> None:
    texts = [row["text"] for row in made_rows(400)]
    stand_out = [
        by_word(texts, np.random.default_rng(seed).random(400) < 0.2) for seed in range(40)
    ]
    assert sum(map(bool, stand_out)) <= 5
    assert by_word(["!", "?"] * 20, np.arange(40) < 20) == []


def test_texts_are_clustered_by_states_where_there_are_any() -> None:
    texts = [row["text"] for row in made_rows(200)]
    states = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    apart = np.arange(200) % 3 == 0
    states[apart] += 20
    groups = by_cluster(texts, apart, states)
    assert sum(group.wrong == group.texts for group in groups) >= 1
    assert {group.wrong for group in groups if group.wrong != group.texts} == {0}
    assert by_cluster(texts[:50], apart[:50]) == []
    unnamed = by_cluster(texts, apart, told=False)
    assert {group.note for group in unnamed} == {""}


def test_an_explained_report_clusters_by_what_the_model_makes_of_the_texts(
    finished: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoprompt.evaluation.error_groups._CLUSTER_TEXTS", 5)
    given = []

    def noted(*arguments: Any, **options: Any) -> Any:
        given.append(arguments)
        return by_cluster(*arguments, **options)

    monkeypatch.setattr("autoprompt.evaluation.where_wrong.by_cluster", noted)
    file = finished.report(tmp_path / "report.html", explain=True)
    page = html.unescape(file.read_text(encoding="utf-8"))
    assert "Texts whose hidden states at the template's end are alike" in page
    assert "What the best prompt's parts do" in page
    shapes = [(len(texts), states.shape) for texts, _, states in given]
    assert shapes == [(16, (16, 32)), (20, (20, 32))]


def test_prompts_of_folds_are_counted_by_their_trial() -> None:
    expected, decided = np.array([0, 1]), np.array([1, 1])
    members = np.array([[1, 1], [1, 1], [0, 1]])
    where = where_wrong("test", ANSWERS, expected, decided, members, [4, 4, 7], None)
    [row] = where.listed
    assert row.votes == {"positive": {4: 2}, "negative": {7: 1}}
    assert (where.mendable, where.wrong) == (1, 1)


def test_nothing_wrong_is_no_error() -> None:
    right = np.array([0, 1] * 50)
    texts = [row["text"] for row in made_rows(100)]
    where = where_wrong("test", ANSWERS, right, right, right[None], [0], texts)
    assert (where.wrong, where.mendable, where.words, where.listed) == (0, 0, [], [])
    assert {group.p for group in where.groups} == {1.0}
