"""A search that ends itself: when, and by which trials."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.terminator import Terminator
from autoprompt.search_spec import SearchSpec
from tests.conftest import write_yaml

KINDS = CategoricalDistribution(("soft", "hard"))
RATE = FloatDistribution(0.0, 1.0)


def trial(
    score: float, kind: str = "soft", rate: float = 0.5, state: str = "complete"
) -> FrozenTrial:
    return create_trial(
        state=TrialState[state.upper()],
        params={"kind": kind, f"{kind}.rate": rate},
        distributions={"kind": KINDS, f"{kind}.rate": RATE},
        value=score,
    )


def ends(trials: Sequence[FrozenTrial], error: float = 0.02, **search: Any) -> str | None:
    spec = SearchSpec(**search)
    made = Terminator(spec, lambda: trials, lambda: error, ("soft", "hard"))
    return made.reached(len(trials))


def test_stagnation_counts_stopped_trials_and_no_better_score_among_them() -> None:
    stopped = [trial(0.95, state="pruned")] * 3
    asked = {"terminator": "stagnation", "terminator_trials": 4}
    assert ends([trial(0.8), *stopped], **asked) is None
    assert ends([*stopped, *stopped], **asked) is None, "without a score there is no best one"
    assert ends([trial(0.8), *stopped, trial(0.9)], **asked) is None
    found = ends([trial(0.8), *stopped, trial(0.8)], **asked)
    assert found == "4 trials in a row had not improved on its best score (stagnation)"


def many(count: int, kind: str, best: float, spread: float) -> list[FrozenTrial]:
    """Trials of a kind whose score depends on their rate."""
    draws = random.Random(kind)
    rates = [draws.random() for _ in range(count)]
    return [trial(best - spread * (rate - 0.5) ** 2, kind, rate) for rate in rates]


def test_the_regret_is_bounded_for_each_kind_by_itself() -> None:
    asked = {"terminator": "regret_bound", "terminator_trials": 20}
    soft, hard = many(20, "soft", 0.9, 0.01), many(8, "hard", 0.6, 0.01)
    found = ends([*soft, *hard], **asked)
    assert found is not None
    assert found.endswith("(regret_bound)")
    assert ends([*soft, *hard[:3]], **asked) is None, "too few of one kind"
    assert ends([*soft[:11], *hard], **asked) is None, "too few in all"
    assert ends([*soft, *hard], error=1e-9, **asked) is None
    # A kind that is behind, but of which nobody knows how good its prompts may be.
    unknown = [trial(score, "hard", rate) for score, rate in ((0.3, 0.1), (0.85, 0.4)) * 4]
    assert ends([*soft, *unknown], **asked) is None
    # One without a parameter of its own has nothing more to find, however its scores differ.
    fixed = [
        create_trial(params={"kind": "hard"}, distributions={"kind": KINDS}, value=score)
        for score in (0.3, 0.85) * 4
    ]
    assert ends([*soft, *fixed], **asked) is not None


def test_it_looks_once_for_each_trial_that_ended() -> None:
    looked = []

    def trials() -> list[FrozenTrial]:
        looked.append(1)
        return [trial(0.5)]

    made = Terminator(SearchSpec(terminator="stagnation"), trials, lambda: 0.0, ("soft",))
    assert [made.reached(ended) for ended in (1, 1, 1, 2)] == [None] * 4
    assert len(looked) == 2


@pytest.mark.parametrize("terminator", ["stagnation", "regret_bound"])
def test_a_search_ends_itself_and_says_why(
    terminator: str, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    # Two kinds that learn next to nothing: an error of the score is larger than what they gain.
    tiny_config["space"]["soft"]["learning_rate"] = {"low": 1e-6, "high": 1e-5}
    tiny_config["space"]["hard"]["rounds"] = 1
    tiny_config["search"] |= {"trials": 60, "rungs": 1}
    tiny_config["search"] |= {"terminator": terminator, "terminator_trials": 8}
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    result = autoprompt.search(config, quiet=True)
    warning = result.as_dict()["warnings"][0]
    assert warning.startswith(f"the search ended after {len(result.trials)} of 60 trials: ")
    assert f"({terminator})" in warning
    assert 8 <= len(result.trials) < 60
