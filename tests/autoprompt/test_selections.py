"""One suite over every selection, and one of a user's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoprompt
from autoprompt.ensemble.pool import Pool
from autoprompt.ensemble.selection import choose
from autoprompt.ensemble.selections import SELECTIONS
from autoprompt.search_spaces.errors import ConfigError
from tests.autoprompt.test_selection import ACCURACY, LABELS, erring, pool
from tests.conftest import write_yaml


def made_pool(candidates: int, texts: int) -> Pool:
    rng = np.random.default_rng(candidates)
    labels = rng.integers(0, 2, texts)
    log_probs = np.log(rng.dirichlet([1.0, 1.0], (candidates, texts)))
    right = (log_probs.argmax(-1) == labels).mean(-1)
    order = np.argsort(-right)
    return Pool(log_probs[order], labels, right[order].tolist(), LABELS, ACCURACY, "majority")


def conforms(select: Any) -> None:
    """Draws are places in the pool; of one candidate, or more asked for than there are, too; and
    the same pool gives the same draws."""
    for candidates in (1, 2, 12):
        for size in (None, 1, 3, 40):
            draws = select(made_pool(candidates, 30), size)
            assert draws
            assert set(draws) <= set(range(candidates))
            assert size is None or len(set(draws)) <= size
            assert draws == select(made_pool(candidates, 30), size)


@pytest.mark.parametrize("name", list(SELECTIONS))
def test_those_that_ship_conform(name: str) -> None:
    conforms(SELECTIONS[name])


def test_one_of_ones_own_is_added_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "selections_of_ours.py").write_text(
        "def alternate(pool, size):\n"
        "    return list(range(0, len(pool.scores), 2))[: size or 5]\n"
        "def astray(pool, size):\n"
        "    return [len(pool.scores)]\n"
    )
    monkeypatch.chdir(tmp_path)
    conforms(SELECTIONS["selections_of_ours:alternate"])
    labels = [0, 1] * 40
    rng = np.random.default_rng(0)
    rows = [erring(rng, np.array(labels), 0.3) for _ in range(6)]
    chosen = choose(
        pool(labels, rows), labels, LABELS, ACCURACY, 3, "majority", "selections_of_ours:alternate"
    )
    assert chosen.select == "selections_of_ours:alternate"
    assert len(chosen.members) in (1, 2, 3)
    with pytest.raises(ConfigError, match=r"astray drew \[6\] of 6 candidates"):
        choose(
            pool(labels, rows), labels, LABELS, ACCURACY, 3, "majority", "selections_of_ours:astray"
        )


def test_one_that_is_not_there_is_refused_before_anything_starts(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["ensemble"] = {"select": "gredy"}
    with pytest.raises(ConfigError, match="no selection named 'gredy'; the nearest is greedy"):
        autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)
    assert not (tmp_path / "store.db").exists()
