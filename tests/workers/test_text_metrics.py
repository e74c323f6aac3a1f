"""Metrics of free text and of spans equal their libraries, on these' own published examples and on
made-up answers; and what they need is asked for by name."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sacrebleu.metrics
from numpy.typing import NDArray
from seqeval import metrics as seqeval
from seqeval.scheme import IOB2
from torchmetrics.functional.text import squad

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.statistics.intervals import estimate
from autoprompt.workers.metrics import METRICS, texts
from autoprompt.workers.metrics.translations import Bleu


def column(values: Sequence[Any]) -> NDArray[Any]:
    """[B], an array of objects."""
    filled = np.empty(len(values), dtype=object)
    filled[:] = values
    return filled


def score(metric: str, expected: Sequence[Sequence[str]], predicted: Sequence[str]) -> float:
    return METRICS[metric].score(column([tuple(own) for own in expected]), column(predicted))


# https://huggingface.co/spaces/evaluate-metric/squad
SQUAD = (["1976"], ["Beyoncé and Bruno Mars"], ["climate change"])


def test_squads_metrics_on_their_cards_examples() -> None:
    for metric in ("exact_match", "token_f1"):
        assert score(metric, [["1976"]], ["1976"]) == 1
        assert score(metric, SQUAD, ["1999", "Beyonce", "something else"]) == 0
        answered = score(metric, SQUAD, ["1976", "Beyonce", "climate change"])
        assert answered == pytest.approx(0.6666666666666666)


def test_squads_normalisation_and_its_questions_without_an_answer() -> None:
    assert (
        texts.normalised("The  Theory of a\n(general) relativity, An!")
        == "theory of general relativity"
    )
    assert score("exact_match", [["the Cat!", "a dog"]], ["A cat"]) == 1
    # 2 of 3 predicted words are 2 of the 4 right ones; the nearer of two right answers counts.
    assert score("token_f1", [["x", "old black cat sat"]], ["the black cat slept"]) == 4 / 7
    # Version 2.0: without an answer, or with none but "the", right is to say nothing.
    for golds in ((), ("",), ("the",)):
        assert score("exact_match", [golds], ["the"]) == score("token_f1", [golds], [""]) == 1
        assert score("exact_match", [golds], ["cat"]) == score("token_f1", [golds], ["cat"]) == 0
    assert score("exact_match", [["the", "cat"]], ["a"]) == 0


def test_squads_metrics_equal_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    words = ["the", "a", "Cat", "cat.", "dog", "an", "sat", "ON", "mat", "mat", "U.S.A."]

    def text() -> str:
        return " ".join(rng.choice(words, rng.integers(1, 6))) + " dog"

    golds = [[text() for _ in range(rng.integers(1, 4))] for _ in range(60)]
    said = [text() for _ in golds]
    theirs = squad(
        [{"prediction_text": own, "id": str(at)} for at, own in enumerate(said)],
        [
            {"answers": {"answer_start": [0] * len(own), "text": own}, "id": str(at)}
            for at, own in enumerate(golds)
        ],
    )
    assert 100 * score("exact_match", golds, said) == pytest.approx(float(theirs["exact_match"]))
    assert 100 * score("token_f1", golds, said) == pytest.approx(float(theirs["f1"]))
    assert 0 < float(theirs["exact_match"]) < float(theirs["f1"]) < 100


def test_rouge_on_published_examples() -> None:
    """rouge-score's `rouge_scorer_test.py`, and https://huggingface.co/spaces/evaluate-metric/rouge"""
    assert score("rouge1", [["testing one two"]], ["testing"]) == 0.5
    assert score("rouge2", [["testing one two"]], ["testing"]) == 0
    assert score("rouge2", [["testing one two"]], ["testing one"]) == pytest.approx(2 / 3)
    assert score("rougeL", [["testing one two"]], ["testing two"]) == pytest.approx(4 / 5)
    said = ["hello there", "general kenobi"]
    assert [score(f"rouge{own}", [[text] for text in said], said) for own in "12L"] == [1, 1, 1]
    golds = [["hello", "there"], ["general kenobi", "general yoda"]]
    several = [score(f"rouge{own}", golds, said) for own in "12L"]
    assert several == pytest.approx([0.8333, 0.5, 0.8333], abs=1e-4)
    assert score(
        "rouge1", [["goodbye"], ["general kenobi"]], ["hello goodbye", "ankh morpork"]
    ) == (pytest.approx(0.6666666666666666 / 2))


#: sacrebleu's README: texts, and two references of each.
TRANSLATED = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]


def test_bleu_and_chrf_on_sacrebleus_readme() -> None:
    assert 100 * score("bleu", REFERENCES, TRANSLATED) == pytest.approx(48.53, abs=0.005)
    assert 100 * score("chrf", REFERENCES, TRANSLATED) == pytest.approx(59.73, abs=0.005)
    # https://huggingface.co/spaces/evaluate-metric/sacrebleu
    perfect = ["hello there general kenobi", "foo bar foobar"]
    golds = [["hello there general kenobi", "hello there !"], ["foo bar foobar", "foo bar foobar"]]
    assert score("bleu", golds, perfect) == pytest.approx(1)


def test_bleu_and_chrf_are_the_librarys_where_texts_have_other_numbers_of_references() -> None:
    """The README's own, with the second references of two texts missing."""
    streams = [[own[0] for own in REFERENCES], [REFERENCES[0][1], None, None]]
    golds = [REFERENCES[0], REFERENCES[1][:1], REFERENCES[2][:1]]
    for metric, theirs in (("bleu", sacrebleu.metrics.BLEU()), ("chrf", sacrebleu.metrics.CHRF())):
        found = 100 * score(metric, golds, TRANSLATED)
        assert found == pytest.approx(theirs.corpus_score(TRANSLATED, streams).score)
    assert score("bleu", REFERENCES, ["", "", ""]) == score("chrf", REFERENCES, ["", "", ""]) == 0


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_a_corpus_is_resampled_as_sacrebleu_does(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its interval is about the same, from other draws; and no draw reads the texts again."""
    golds, said = REFERENCES * 20, (TRANSLATED[:2] + ["The dog had bitten."]) * 20
    read = []
    parts = Bleu.parts
    monkeypatch.setattr(Bleu, "parts", lambda *own: read.append(metric) or parts(*own))
    expected = column([tuple(own) for own in golds])
    found = estimate(METRICS[metric], expected, column(said))
    assert len(read) == (2 if metric == "bleu" else 0)  # for the score, and for all draws

    theirs = getattr(sacrebleu.metrics, metric.upper())()
    drawn = theirs.corpus_score(said, [list(own) for own in zip(*golds, strict=True)], 1000)
    half = 100 * (found.high - found.low) / 2
    assert 100 * found.score == pytest.approx(drawn.score)
    assert 100 * (found.high + found.low) / 2 == pytest.approx(drawn._mean, abs=half / 4)
    assert half == pytest.approx(drawn._ci, rel=0.2)


def spans(tags: Sequence[str]) -> tuple[tuple[int, int, str], ...]:
    """The entities of IOB2 tags, each token a character."""
    found: list[tuple[int, int, str]] = []
    for at, tag in enumerate(tags):
        if tag.startswith("B-"):
            found.append((at, at + 1, tag[2:]))
        elif tag.startswith("I-"):
            start, _, label = found.pop()
            found.append((start, at + 1, label))
    return tuple(found)


def test_entity_f1_on_seqevals_readme() -> None:
    right = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    said = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    expected, predicted = (column([spans(tags) for tags in rows]) for rows in (right, said))
    assert METRICS["entity_f1"].score(expected, predicted) == 0.5


def test_entity_f1_equals_seqeval() -> None:
    rng = np.random.default_rng(0)

    def tags() -> list[str]:
        row: list[str] = []
        while len(row) < 12:
            label, length = rng.choice(["PER", "LOC"]), int(rng.integers(1, 4))
            entity = [f"B-{label}", *[f"I-{label}"] * (length - 1)]
            row += entity if rng.random() < 0.5 else ["O"] * length
        return row[:12]

    right = [tags() for _ in range(40)]
    said = [row if rng.random() < 0.4 else tags() for row in right]
    expected, predicted = (column([spans(row) for row in rows]) for rows in (right, said))
    ours = METRICS["entity_f1"].score(expected, predicted)
    theirs = seqeval.f1_score(right, said, average="micro", mode="strict", scheme=IOB2)
    assert 0.4 < ours == pytest.approx(theirs) == pytest.approx(seqeval.f1_score(right, said))


def test_an_entity_is_right_as_a_whole_and_once() -> None:
    right = column([((0, 4, "PER"), (9, 12, "LOC")), ()])
    said = column([((0, 4, "PER"), (0, 4, "PER"), (9, 13, "LOC"), (9, 12, "PER")), ()])
    assert METRICS["entity_f1"].score(right, said) == 2 * 1 / (3 + 2)
    assert METRICS["entity_f1"].score(right[1:], said[1:]) == 0


@pytest.mark.parametrize(("metric", "package"), [("rouge2", "rouge_score"), ("chrf", "sacrebleu")])
def test_a_missing_package_is_asked_for_by_its_extra(
    metric: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts._rouge_scorer.cache_clear()
    monkeypatch.delitem(vars(METRICS["chrf"].function), "_scorer", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=rf"^needs {package}; install 'autoprompt-search\[metrics\]'$"
    ):
        score(metric, [["one"]], ["one"])
