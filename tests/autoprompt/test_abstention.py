"""When a vote gives no answer: an estimate, and a guarantee that holds."""

import numpy as np
import pytest

from autoprompt.statistics.abstention import Abstention, abstention


def answers(texts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that mean what they say, and whether the answers are right."""
    rng = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * rng.beta(2, 1, texts)
    return sure, rng.random(texts) < sure


def test_an_estimate_answers_as_much_as_keeps_errors_few() -> None:
    sure, right = answers(4000, 0)
    found = abstention(sure, right, 0.1)
    assert found.reached
    assert found.confidence is found.bound is None
    assert found.wrong <= 0.1
    assert found.wrong > 0.085, "more could have been answered"
    again, fine = answers(4000, 1)
    answered = again >= found.threshold
    assert (~fine[answered]).mean() == pytest.approx(0.1, abs=0.015)
    assert answered.mean() == pytest.approx(found.coverage, abs=0.03)


def test_a_guarantee_holds_as_often_as_it_says() -> None:
    """The true error of what is answered follows from the probabilities, which are honest."""
    broken = 0
    for seed in range(200):
        found = abstention(*answers(400, seed), 0.1, confidence=0.9)
        if not found.reached:
            continue
        sure, _ = answers(20_000, 1000 + seed)
        broken += float((1 - sure[sure >= found.threshold]).mean()) > 0.1
        assert found.bound is not None
        assert found.bound <= 0.1
    assert broken <= 30
    tested = [abstention(*answers(400, seed), 0.1, confidence=0.9) for seed in range(20)]
    assert sum(found.reached for found in tested) > 10


def test_where_no_threshold_will_do_the_nearest_is_told() -> None:
    rng = np.random.default_rng(0)
    sure, right = rng.random(300), rng.random(300) < 0.6
    for confidence in (None, 0.95):
        found = abstention(sure, right, 0.01, confidence)
        assert not found.reached
        assert 0 < found.coverage <= 1


def test_a_reason_names_both_numbers_and_a_rule_is_the_same_from_the_store() -> None:
    found = abstention(*answers(400, 3), 0.1, confidence=0.9)
    assert Abstention.from_dict(found.as_dict()) == found
    assert found.reason(found.threshold) is None
    reason = found.reason(found.threshold - 0.1)
    assert reason is not None
    assert f"{found.threshold:g}" in reason
    assert "10%" in reason
