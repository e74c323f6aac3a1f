"""One suite over every stopping rule, and one of a user's own."""

from pathlib import Path
from typing import Any

import pytest

from autoprompt.controller.stopping_rule import Ladder, StoppingRule
from autoprompt.controller.stopping_rules import STOPPING_RULES

LADDER = Ladder(("soft", "hard"), rungs=3, reduction_factor=2)


def conforms(make: Any) -> None:
    """Trials may come, report, begin again and go in any order, and a rule never tires of it."""
    rule = make(LADDER)
    assert isinstance(rule, StoppingRule)
    for number, kind in enumerate(("soft", "hard", "soft")):
        rule.enter(number, kind)
    assert not rule.stops(0, 1, 0.9), "the first report of a kind has nothing to be behind of"
    rule.enter(0, "soft")  # its worker died
    for number, rung, score in ((0, 1, 0.9), (2, 1, 0.1), (1, 1, 0.4), (0, 2, 0.95)):
        assert isinstance(rule.stops(number, rung, score), bool)
    for number in (2, 1, 0, 0):
        rule.leave(number)
    assert make(LADDER).replay([]) is not None


@pytest.mark.parametrize("name", list(STOPPING_RULES))
def test_those_that_ship_conform(name: str) -> None:
    conforms(STOPPING_RULES[name])


def test_one_of_ones_own_is_added_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules_of_ours.py").write_text(
        "from autoprompt.controller.stopping_rule import StoppingRule\n"
        "class Patient(StoppingRule):\n"
        "    def __init__(self, ladder): self.ladder = ladder\n"
        "    def enter(self, number, kind): ...\n"
        "    def stops(self, number, rung, score): return rung >= 2 and score < 0.6\n"
        "    def leave(self, number): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    make = STOPPING_RULES["rules_of_ours:Patient"]
    conforms(make)
    assert make(LADDER).stops(0, 2, 0.5)
