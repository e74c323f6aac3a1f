"""Who votes: the best, a greedy draw, those that disagree; never worse than the best one alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from autoprompt.ensemble.pool import Pool
from autoprompt.ensemble.selection import choose, drawn
from autoprompt.ensemble.selections import DRAWS, LARGEST
from autoprompt.evaluation.candidates import best_distinct
from autoprompt.store import PromptRecord
from autoprompt.workers.answers import answers_of
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.vote import Vote
from tests.conftest import DEMO_TASK

ACCURACY = METRICS["accuracy"]
LABELS = answers_of(DEMO_TASK)


def record(number: int, score: float, digest: str, probabilities: list[float]) -> PromptRecord:
    """A member that gives label 1 these probabilities."""
    ones = np.array(probabilities, dtype=np.float32)
    log_probs = np.log(np.stack([1 - ones, ones], axis=-1))
    return PromptRecord(
        number=number,
        kind="soft",
        score=score,
        loss=0.5,
        digest=digest,
        text="",
        content=b"",
        log_probs=save({"log_probs": log_probs}),
    )


def pool(labels: list[int], rows: list[list[int]]) -> list[PromptRecord]:
    """Candidates that say these labels, best first, as the store gives them."""
    scores = [float((np.array(row) == labels).mean()) for row in rows]
    order = sorted(range(len(rows)), key=lambda number: -scores[number])
    return [
        record(number, scores[number], str(number), [0.9 if said else 0.1 for said in rows[number]])
        for number in order
    ]


def erring(rng: np.random.Generator, labels: np.ndarray, rate: float) -> list[int]:
    found: list[int] = np.where(rng.random(len(labels)) < rate, 1 - labels, labels).tolist()
    return found


def test_members_are_the_best_that_differ() -> None:
    candidates = [
        record(4, 0.9, "a", [0.9]),
        record(2, 0.9, "a", [0.9]),
        record(1, 0.8, "b", [0.9]),
        record(0, 0.7, "c", [0.1]),
    ]
    assert [member.number for member in best_distinct(candidates, 2)] == [4, 1]
    assert [member.number for member in best_distinct(candidates, 9)] == [4, 1, 0]


@pytest.mark.parametrize("select", ["top", "greedy", "diversity"])
def test_the_vote_can_beat_every_member(select: str) -> None:
    """Members that err independently, one text in five each."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 400)
    candidates = pool(labels.tolist(), [erring(rng, labels, 0.2) for _ in range(12)])
    chosen = choose(candidates, labels.tolist(), LABELS, ACCURACY, select=select)
    assert len(chosen.members) >= 5
    assert chosen.validation > candidates[0].score + 0.05
    assert chosen.note is None


def test_without_a_size_as_many_vote_as_are_no_worse_than_the_best() -> None:
    sizes = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 2, 60)
        rates = [0.1] * (1 + seed % 6) + [0.6] * 8
        candidates = pool(labels.tolist(), [erring(rng, labels, rate) for rate in rates])
        chosen = choose(candidates, labels.tolist(), LABELS, ACCURACY)
        sizes.add(len(chosen.members))
        assert chosen.validation >= candidates[0].score
        assert min(member.score for member in chosen.members) > 0.7, "nobody clearly worse votes"
        given = candidates, labels.tolist(), LABELS, ACCURACY
        able = drawn(*given, LARGEST, "diversity")
        for size in range(len(chosen.members) + 1, len(able) + 1):
            fewer = choose(candidates, labels.tolist(), LABELS, ACCURACY, size)
            assert len(fewer.members) < size, "a larger vote would have been no worse"
    assert len(sizes) > 2


def test_a_size_that_is_given_is_kept_where_the_vote_is_no_worse() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 400)
    candidates = pool(labels.tolist(), [erring(rng, labels, 0.2) for _ in range(12)])
    for size in (1, 3, 5, 12, 40):
        chosen = choose(candidates, labels.tolist(), LABELS, ACCURACY, size)
        assert [m.number for m in chosen.members] == [m.number for m in candidates[:size]]
    assert (
        len(choose(candidates, labels.tolist(), LABELS, ACCURACY, 3, select="diversity").members)
        == 3
    )
    greedy = choose(candidates, labels.tolist(), LABELS, ACCURACY, 2, select="greedy")
    assert len(greedy.members) <= 2


@pytest.mark.parametrize("select", ["top", "greedy", "diversity"])
def test_one_good_prompt_among_bad_ones_votes_alone_and_it_is_said(select: str) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 100)
    rows = [labels.tolist()] + [erring(rng, labels, 0.45) for _ in range(6)]
    chosen = choose(
        pool(labels.tolist(), rows), labels.tolist(), LABELS, ACCURACY, 3, select=select
    )
    assert chosen.validation == 1.0
    if select == "top":
        assert [member.number for member in chosen.members] == [0]
        assert chosen.note is not None
        assert "one prompt votes: a majority vote of 3 by top scores" in chosen.note
        assert chosen.note.endswith(" on validation, the best prompt alone 1.0000")


@pytest.mark.parametrize("size", [None, 3])
def test_a_note_on_plans_of_folds_says_that_all_labelled_texts_judge(size: int | None) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 100)
    rows = [labels.tolist()] + [erring(rng, labels, 0.45) for _ in range(6)]
    candidates = pool(labels.tolist(), rows)
    chosen = choose(candidates, labels.tolist(), LABELS, ACCURACY, size, bagged=True)
    assert chosen.note is not None
    assert chosen.note.startswith("one plan votes: ")
    assert "on all labelled texts" in chosen.note
    assert "prompt" not in chosen.note
    assert "validation" not in chosen.note


def test_a_size_that_is_given_of_plans_of_folds_is_kept_within_noise() -> None:
    """Three that err on one text in ten each, on others than the luckiest."""
    labels = [0, 1] * 50
    wrong = [range(9), range(20, 30), range(20, 30)]
    rows = [[1 - own if at in some else own for at, own in enumerate(labels)] for some in wrong]
    candidates = pool(labels, rows)
    chosen = choose(candidates, labels, LABELS, ACCURACY, 3, bagged=True)
    assert (len(chosen.members), chosen.validation) == (3, 0.9)
    assert chosen.note is not None
    assert chosen.note.endswith("the best plan alone 0.9100, which is within noise")
    assert len(choose(candidates, labels, LABELS, ACCURACY, 3).members) < 3
    assert len(choose(candidates, labels, LABELS, ACCURACY, bagged=True).members) < 3


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([None, 1, 2, 3, 5]),
    vote=st.sampled_from(["majority", "weighted", "mean"]),
    select=st.sampled_from(["top", "greedy", "diversity", "varied"]),
)
def test_an_ensemble_is_never_worse_than_the_best_alone(
    seed: int, size: int | None, vote: Vote, select: str
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 20)
    candidates = pool(labels.tolist(), [erring(rng, labels, rng.random()) for _ in range(6)])
    chosen = choose(candidates, labels.tolist(), LABELS, ACCURACY, size, vote, select)
    assert chosen.validation >= candidates[0].score
    assert 1 <= len(chosen.members) <= (size or LARGEST)
    assert len({member.digest for member in chosen.members}) == len(chosen.members)
    assert len(chosen.combination.weights) == len(chosen.members)
    assert (len(chosen.members) > 1) or size == 1 or chosen.note


def test_a_greedy_draw_may_count_a_member_more_than_once() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 200)
    rows = [erring(rng, labels, rate) for rate in (0.1, 0.25, 0.25, 0.3)]
    chosen = choose(pool(labels.tolist(), rows), labels.tolist(), LABELS, ACCURACY, select="greedy")
    assert sum(chosen.combination.weights) <= DRAWS
    assert max(chosen.combination.weights) > 1
    assert chosen.halves is not None


def test_a_greedy_draw_that_only_fitted_its_half_is_not_kept() -> None:
    """Two candidates mend each other on the half that is drawn on, and are noise on the other."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    drawn_on, confirmed_on = Pool(np.empty(0), labels, [], LABELS, ACCURACY, "majority").halves()
    assert set(drawn_on) | set(confirmed_on) == set(range(200))
    assert abs(int(labels[drawn_on].sum()) - int(labels[confirmed_on].sum())) <= 1
    best = labels.copy()
    best[rng.choice(200, 20, replace=False)] ^= 1
    rows = [best.tolist()]
    for _ in range(2):
        fitted = labels.copy()
        fitted[confirmed_on] = 1 - best[confirmed_on]
        rows.append(fitted.tolist())
    chosen = choose(pool(labels.tolist(), rows), labels.tolist(), LABELS, ACCURACY, select="greedy")
    assert [member.number for member in chosen.members] == [0]


def test_diversity_prefers_those_that_disagree_and_leaves_out_the_clearly_worse() -> None:
    labels = [0, 1] * 100
    best = list(labels)
    twin = list(labels)
    for place in range(0, 20):
        best[place] ^= 1
        twin[place] ^= 1
    other = list(labels)
    for place in range(100, 121):
        other[place] ^= 1
    bad = [1 - label for label in labels]
    twin[20] ^= 1
    chosen = choose(pool(labels, [best, twin, other, bad]), labels, LABELS, ACCURACY, 2, "majority",
                    "diversity")  # fmt: skip
    assert [member.number for member in chosen.members] == [0, 2]
    three = choose(pool(labels, [best, twin, other, bad]), labels, LABELS, ACCURACY, 4, "majority",
                   "diversity")  # fmt: skip
    assert 3 not in [member.number for member in three.members]
