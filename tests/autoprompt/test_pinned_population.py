"""How many trials a worker carries out side by side: measured once, and taken from the store after
that."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.pinned_population import most_useful, with_pinned_population
from autoprompt.controller.ray_cluster import cluster
from autoprompt.controller.ray_executor import RayExecutor
from autoprompt.controller.resume import prepare_again
from autoprompt.controller.runner import create_search, trial_dispatch
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import ModelError
from autoprompt.search_spec import SearchSpec
from autoprompt.store import Store
from autoprompt.workers.population import Population
from tests.conftest import write_yaml

QUIET = SearchProgress(quiet=True)


@pytest.mark.parametrize(
    ("seconds", "most", "size"),
    [
        ({}, 1, 1),
        ({1: 1.0, 2: 0.95}, 8, 1),
        ({1: 1.0, 2: 0.6, 4: 0.58}, 8, 2),
        ({1: 1.0, 3: 0.5, 6: 0.3}, 5, 5),
        ({1: 1.0, 3: 0.9, 6: 0.7, 12: 0.69}, 20, 6),
    ],
)
def test_the_largest_number_that_was_worth_its_doubling(
    seconds: dict[int, float], most: int, size: int
) -> None:
    assert Population(seconds, most).size == size


def test_the_searcher_still_learns() -> None:
    def most(trials: int, workers: int) -> int:
        return most_useful(SearchSpec(trials=trials), workers)

    assert [most(3, 2), most(16, 2), most(100, 2), most(400, 8), most(16, 16)] == [2, 5, 12, 12, 1]


def auto(config: dict[str, Any], tmp_path: Path, **search: Any) -> SearchConfig:
    config["search"] |= {"trials": 4, "trials_per_worker": "auto", "rungs": 1} | search
    return SearchConfig.read(write_yaml(tmp_path / "search.yaml", config))


def test_a_search_measures_it_once(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    config = auto(tiny_config, tmp_path, workers=0)
    record = autoprompt.search(config, quiet=True).record
    found = record.config["search"]["trials_per_worker"]
    why = record.versions["trials_per_worker"]
    assert 1 <= found <= 4
    assert re.fullmatch(
        rf"{found} \(a prompt's part of a training step: \S+ s of 1, \S+ s of 2.*\)", why
    )
    again = prepare_again(record, tiny_config["store"], None, QUIET)
    executor = InProcessExecutor(1, QUIET)
    assert with_pinned_population(again, executor, QUIET) is again
    assert again.config.search.together == found


@pytest.mark.usefixtures("shared_ray")
def test_a_worker_on_ray_measures_it_and_says_what_is_wrong_in_a_line(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    config = auto(tiny_config, tmp_path, workers=1)
    prepared = prepare(config, QUIET)
    with cluster(config.search, "suite") as joined:
        executor = RayExecutor(joined, config.search, QUIET)
        pinned = with_pinned_population(prepared, executor, QUIET)
        assert 1 <= pinned.config.search.together <= 4
        gone = prepared.job.model.model_copy(update={"path": str(tmp_path / "gone")})
        with pytest.raises(ModelError, match=r"^[^\n]*$"):
            with_pinned_population(
                replace(prepared, job=replace(prepared.job, model=gone)), executor, QUIET
            )


def test_workers_share_out_what_is_less_than_they_would_take(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    config = auto(tiny_config, tmp_path, trials=5, trials_per_worker=4)
    store = Store.open(tiny_config["store"])
    search = create_search(prepare(config, QUIET), store)
    dispatch = trial_dispatch(config, search, StoreWriter(store, search.id, QUIET), workers=2)
    tasks = [dispatch.next() for _ in range(3)]
    assert [len(task.trials) if task else 0 for task in tasks] == [3, 2, 0]
