"""What a search will cost, and what is wrong with it, is said before it begins."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.search_cost import search_cost
from autoprompt.preparation.prepare import prepare
from autoprompt.preparation.trial_tokens import plan_tokens, trial_tokens
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import Store
from autoprompt.workers.trial_times import PlanTimes, TrialTimes
from tests.conftest import write_yaml

QUIET = SearchProgress(quiet=True)
R = TypeVar("R")


def written(config: dict[str, Any], folder: Path) -> Path:
    return write_yaml(folder / "search.yaml", config)


def test_it_says_what_a_search_costs_and_leaves_nothing(
    tiny_config: dict[str, Any],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(cache))
    tiny_config["search"] |= {"workers": 4, "trials_per_worker": 2, "cache_gib_on_disk": 1}
    path = written(tiny_config, tmp_path)
    before = set(tmp_path.iterdir())
    found = autoprompt.check(path, quiet=True)
    assert set(tmp_path.iterdir()) == before
    assert not [path for path in (cache / "texts").rglob("*") if path.is_file()]
    json.dumps(found)
    assert found["splits"]["train"] == {"texts": 24, "labels": {"negative": 12, "positive": 12}}
    assert found["tokens"]["longest_prompt"] >= 4
    assert set(found["tokens"]["trial"]) == set(found["seconds"]["trial"]) == {"soft", "hard"}
    for own in found["seconds"]["trial"].values():
        assert own["error"] is None
        assert 0 < own["least"] <= own["mean"] <= own["most"]
    texts, memory = found["texts"], found["memory"]
    assert texts["in_memory"] == memory["texts"] > 0
    assert texts["on_disk"] == texts["computed_each_time"] == 0
    assert memory["worker"] == memory["model"] + memory["texts"] + (memory["training"] or 0)
    search = found["search"]
    assert search["seconds"] > found["seconds"]["load"] > 0
    assert (search["trials"], search["workers"], search["trials_per_worker"]) == (6, 4, 2)


def test_the_command_prints_it(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["space"]["hard"]["searcher"] = ["swaps", "none"]
    path = written(tiny_config, tmp_path)
    told = CliRunner().invoke(main, ["check", "--set", "search.time_limit=2h", str(path)])
    assert told.exit_code == 0, told.output
    for words in ("12 negative", "memory of a worker", "a whole trial by itself", "is 2.0 h"):
        assert words in told.stdout
    as_json = CliRunner().invoke(main, ["check", "--json", str(path)])
    assert json.loads(as_json.stdout)["search"]["time_limit"] is None


@pytest.mark.parametrize(
    ("section", "key", "value", "error"),
    [
        ("data", "path", "gone.csv", "gone.csv"),
        ("data", "label", "team", "team"),
        ("search", "stopping", "nowhere:rule", "search.stopping"),
        ("search", "cache_gib_per_worker", 1e-9, "cache_gib_per_worker"),
        (None, "store", "sqlite:////nowhere/at/all.db", "no folder"),
        (None, "warm_start", "before", "before"),
        (None, "callbacks", ["nowhere:Callback"], "nowhere"),
        (None, "baselines", ["nowhere:Baseline"], "nowhere"),
    ],
)
def test_what_a_search_would_refuse_is_refused(
    section: str | None,
    key: str,
    value: Any,
    error: str,
    tiny_config: dict[str, Any],
    tmp_path: Path,
) -> None:
    (tiny_config[section] if section else tiny_config)[key] = value
    path = written(tiny_config, tmp_path)
    with pytest.raises(BadInputError, match=rf"^[^\n]*{error}[^\n]*$") as checked:
        autoprompt.check(path, quiet=True)
    with pytest.raises(BadInputError) as searched:
        autoprompt.search(path, quiet=True)
    assert str(checked.value) == str(searched.value)


class Measured(InProcessExecutor):
    """A worker on which all is as fast as it is said to be."""

    def __init__(self, times: TrialTimes) -> None:
        super().__init__(1, QUIET)
        self._times = times

    def on_worker(self, function: Callable[..., R], *arguments: Any) -> R:
        return self._times  # type: ignore[return-value]


def test_a_search_takes_what_its_parts_take(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    soft = tiny_config["space"]["soft"]
    tiny_config["space"] = {"soft": soft | {"length": 2, "init": "random", "steps": 8}}
    tiny_config["search"] |= {"trials": 10, "rungs": 2, "judging": 4, "stopping": "none"}
    tiny_config["search"]["trials_per_worker"] = 2
    prepared = prepare(SearchConfig.read(written(tiny_config, tmp_path)), QUIET)
    plan = PlanTimes(begins=1.0, step=0.5, judging=0.1)
    times = TrialTimes(7.0, 0.01, (plan,), 0.5, 0, None, "cpu", "float32")
    found = search_cost(prepared, Measured(times), 2, QUIET)
    # 8 steps; 4 texts judge the first rung, and all 16 the last.
    assert found.kinds["soft"].mean == pytest.approx(1 + 8 * 0.5 + 20 * 0.1)
    texts = 0.01 * sum(prepared.texts.train + prepared.texts.validation)
    behind = 0.01 * 40 * prepared.texts.tail
    assert found.texts in (pytest.approx(texts), pytest.approx(texts + behind))
    assert found.trials == pytest.approx(7 + found.texts + 10 * (1 + 8 * 0.25 + 20 * 0.1) / 2)


def test_trials_that_are_stopped_take_less(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["search"]["trials"] = 64
    path = written(tiny_config, tmp_path)
    times = TrialTimes(0.0, 0.0, (PlanTimes(0, 1, 0),) * 2, 1.0, 0, None, "cpu", "float32")
    seconds = {}
    for stopping in ("none", "asha"):
        config = SearchConfig.read(path, [f"search.stopping={stopping}"])
        seconds[stopping] = search_cost(prepare(config, QUIET), Measured(times), 1, QUIET).trials
    # With 3 rungs, of which each stops half: a quarter, an eighth and an eighth at the least.
    assert 0.5 * seconds["none"] <= seconds["asha"] < 0.75 * seconds["none"]


def test_what_cannot_be_measured_is_told(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def tune(*_):\n    raise OSError('no')\n    yield\n")
    tiny_config["space"]["soft"]["tuner"] = "broken:tune"
    found = autoprompt.check(written(tiny_config, tmp_path), quiet=True)
    trial = found["seconds"]["trial"]
    assert trial["soft"]["error"] == "OSError: no"
    assert trial["hard"]["error"] is None
    assert found["search"]["seconds"] > 0


@pytest.mark.parametrize("kind", ["soft", "hard", "mixed", "kv"])
def test_a_plans_tokens_are_those_of_its_kind(
    kind: str, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    trained = {"length": 2, "learning_rate": 0.1, "steps": 8, "batch_size": 4}
    words = {"tokens": 3, "start": "in short", "candidates": 4, "batch_size": 4}
    parts: dict[str, dict[str, Any]] = {
        "soft": trained,
        "kv": trained,
        "hard": words | {"rounds": 2},
        "mixed": trained | words | {"swap_every": 2, "layout": "{text}{hard}{soft}"},
    }
    tiny_config["space"] = {kind: parts[kind]}
    prepared = prepare(SearchConfig.read(written(tiny_config, tmp_path)), QUIET)
    known = trial_tokens(prepared.config.space, prepared.texts)[kind]
    from autoprompt.controller.optuna_searcher import OptunaSearcher

    [trial] = OptunaSearcher(prepared.config.space, 0).draw(1)
    found = plan_tokens(plan_from_dict(trial["plan"]), prepared.texts)
    least, most = known.step
    assert found.step == pytest.approx((least + most) / 2, abs=1)
    assert found.judging * len(prepared.texts.validation) == pytest.approx(known.judging[0], abs=1)


def test_a_limit_too_short_for_a_trial_is_refused_before_work_starts(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    path = written(tiny_config, tmp_path)
    told = r"^\S+: search.time_limit: 0.0001 s are too short for one trial, which takes about \S+ s"
    with pytest.raises(BadInputError, match=told):
        autoprompt.search(path, time_limit=0.0001, quiet=True)
    assert Store.open(tiny_config["store"]).summaries() == []
