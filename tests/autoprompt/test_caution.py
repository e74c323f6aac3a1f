"""Readers are warned of leads within noise, of luck, and of a search that fitted validation."""

import numpy as np
import pytest

from autoprompt.ensemble.selection import stacked
from autoprompt.evaluation.finalists import Finalist
from autoprompt.evaluation.score_table import held_out_table, scores_table
from autoprompt.evaluation.score_warnings import lead_warnings, luck_warnings, overfit_warnings
from autoprompt.statistics.intervals import estimate
from autoprompt.statistics.significance import clearly_worse, luckier_than, mcnemar, paired_p
from autoprompt.workers.combination import heads
from autoprompt.workers.metrics import METRICS
from tests.autoprompt.test_selection import ACCURACY, LABELS, erring, pool


def finalist(number: int, search_score: float, *scores: float) -> Finalist:
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return Finalist(number, search_score, list(scores), float(np.mean(scores)), spread)


def test_mcnemar_is_the_sign_test_on_texts_where_two_differ() -> None:
    first = np.array([True] * 90 + [False] * 10)
    second = np.array([True] * 80 + [False] * 20)
    # 10 texts, all won by the first: 2 / 2^10.
    assert mcnemar(first, second) == pytest.approx(2 / 1024)
    assert mcnemar(first, first) == 1.0


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_paired_test_tells_a_real_difference_from_chance(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    good, same, bad = (np.array(erring(rng, labels, rate)) for rate in (0.1, 0.1, 0.3))
    assert paired_p(METRICS[metric], labels, good, bad)[0] < 0.01
    assert paired_p(METRICS[metric], labels, good, same)[0] > 0.05
    assert paired_p(METRICS[metric], labels, good, good)[0] == 1.0  # type: ignore[arg-type]


def test_scores_on_different_texts_are_compared_by_their_intervals() -> None:
    def of(rate: float, count: int) -> object:
        expected = np.zeros(count, dtype=np.intp)
        return estimate(ACCURACY, expected, (np.arange(count) < rate * count).astype(np.intp))

    assert clearly_worse(of(0.2, 1000), of(0.1, 250))  # type: ignore[arg-type]
    assert not clearly_worse(of(0.12, 1000), of(0.1, 250))  # type: ignore[arg-type]
    assert not clearly_worse(of(0.1, 250), of(0.2, 1000))  # type: ignore[arg-type]


def test_a_lead_within_noise_is_named_with_its_test() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    close = pool(labels.tolist(), [erring(rng, labels, 0.1), erring(rng, labels, 0.12)])
    (warning,) = lead_warnings(LABELS, ACCURACY, labels.tolist(), close[0], close, [])
    assert "within noise on 200 validation texts (McNemar p = " in warning
    clear = pool(labels.tolist(), [erring(rng, labels, 0.05), erring(rng, labels, 0.3)])
    assert lead_warnings(LABELS, ACCURACY, labels.tolist(), clear[0], clear, []) == []
    assert lead_warnings(LABELS, ACCURACY, labels.tolist(), clear[0], clear[:1], []) == []


def test_with_confirmed_finalists_the_lead_is_judged_over_seeds() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50)
    prompts = pool(labels.tolist(), [erring(rng, labels, 0.1), erring(rng, labels, 0.12)])
    args = (LABELS, ACCURACY, labels.tolist(), prompts[0], prompts)
    near = [finalist(1, 0.9, 0.88, 0.90, 0.86), finalist(0, 0.9, 0.87, 0.89, 0.87)]
    (warning,) = lead_warnings(*args, near)  # type: ignore[arg-type]
    assert "trial 1's mean over seeds leads trial 0's by 0.0033: within noise (Welch" in warning
    far = [finalist(1, 0.9, 0.90, 0.901, 0.902), finalist(0, 0.9, 0.80, 0.801, 0.802)]
    assert lead_warnings(*args, far) == []  # type: ignore[arg-type]
    once = [finalist(1, 0.9, 0.90), finalist(0, 0.9, 0.80)]
    assert "with 1 other seed)" in lead_warnings(*args, once)[0]  # type: ignore[arg-type]


def test_a_winner_that_owed_its_score_to_its_seed_is_named() -> None:
    assert luckier_than(0.95, [0.80, 0.81, 0.82])
    assert not luckier_than(0.82, [0.80, 0.81, 0.82])
    assert not luckier_than(0.95, [0.80])
    lucky = [finalist(2, 0.88, 0.87, 0.88, 0.87), finalist(1, 0.95, 0.80, 0.81, 0.82)]
    (warning,) = luck_warnings(ACCURACY, lucky)
    assert warning == (
        "trial 1 had 0.9500 in the search, and 0.8100 ± 0.0100 with 3 other seeds: the first was "
        "luck"
    )
    assert luck_warnings(ACCURACY, lucky[:1]) == luck_warnings(ACCURACY, []) == []


def test_a_search_that_fitted_its_validation_texts_is_named() -> None:
    rng = np.random.default_rng(0)
    validation, test = rng.integers(0, 2, 200), rng.integers(0, 2, 1000)
    members = pool(validation.tolist(), [erring(rng, validation, 0.02) for _ in range(3)])

    def warned(rate: float) -> list[str]:
        rows = pool(test.tolist(), [erring(rng, test, rate) for _ in range(5)])
        vote = heads([1.0] * 3)
        tested = held_out_table(
            LABELS, ACCURACY, test.tolist(), members[0], members, vote, stacked(rows, LABELS)
        )
        validated = scores_table(
            LABELS, ACCURACY, validation.tolist(), members, vote, stacked(members, LABELS)
        )
        return overfit_warnings(
            LABELS, ACCURACY, validation.tolist(), members[0], validated, tested, None
        )

    assert warned(0.02) == []
    best, ensemble = warned(0.4)
    assert best.startswith(f"trial {members[0].number} scores 0.9")
    assert "the search has fitted the texts it chose by" in best
    assert ensemble.startswith("the ensemble scores ")
