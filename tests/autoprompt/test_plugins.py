"""An installed package adds a metric, a tuner, a kind of answers, a selection, a callback and a
stopping rule: `tests/plugin`, installed for these tests alone."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autoprompt
from autoprompt.callbacks import CALLBACKS
from autoprompt.controller.stopping_rules import STOPPING_RULES
from autoprompt.ensemble.selections import SELECTIONS
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry
from autoprompt.workers.answers import ANSWERS
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.tuners.kinds import TUNERS
from tests.conftest import write_yaml

ADDED: list[tuple[Registry[Any], str]] = [
    (METRICS, "halved"),
    (TUNERS, "one_word"),
    (ANSWERS, "spoken"),
    (SELECTIONS, "last"),
    (CALLBACKS, "basket"),
    (STOPPING_RULES, "never"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed into."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(Path(__file__).parents[1] / "plugin", folder / "source")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", folder / "site", source], check=True)
    return folder / "site"


@pytest.fixture(autouse=True)
def _installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    _look_anew()
    yield
    _look_anew()


def _look_anew() -> None:
    """Forget what is installed, and was imported of it."""
    for registry, _ in ADDED:
        vars(registry).pop("_plugins", None)
        vars(registry)["_passed_over"].clear()
    sys.modules.pop("orchard", None)


def test_each_registry_lists_it_behind_its_own() -> None:
    for registry, name in ADDED:
        assert list(registry)[-1] == name
        assert len(list(registry)) > 1
        assert callable(registry[name])


def test_a_name_that_is_built_in_stays_what_it_is() -> None:
    assert METRICS["accuracy"].function.__module__ == "autoprompt.workers.metric_functions"


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    assert METRICS["accuracy"].counts_right
    with pytest.raises(ConfigError, match="no metric named 'halvd'; the nearest is halved; there"):
        METRICS["halvd"]
    assert "orchard" not in sys.modules
    assert METRICS["halved"].name == "halved"
    assert "orchard" in sys.modules


def test_one_that_cannot_be_imported_is_named_and_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert "rotten" not in list(METRICS)
        assert "halved" in list(METRICS)
    [record] = caplog.records
    assert "metric 'rotten' of the package orchard cannot be imported" in record.getMessage()
    with pytest.raises(ConfigError, match="of the package orchard cannot be imported"):
        METRICS["rotten"]


def test_asked_for_it_is_refused_in_one_line(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["task"]["metric"] = "rotten"
    with pytest.raises(ConfigError) as refused:
        autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)
    assert str(refused.value).endswith(
        "search.yaml: task.metric: metric 'rotten' of the package orchard cannot be imported: "
        "ModuleNotFoundError: No module named 'orchard_that_is_gone'"
    )


def test_a_tuner_that_nobody_has_is_refused(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["space"]["soft"]["tuner"] = "one_wrod"
    with pytest.raises(ConfigError, match=r"space: tuner: no tuner .*; the nearest is one_word;"):
        autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)


def test_a_search_uses_one_of_each(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["task"] |= {"metric": "halved", "answers": "spoken"}
    tiny_config["space"] = {
        "soft": {"tuner": "one_word", "length": 1, "learning_rate": 0.1, "steps": [4, 8]}
    }
    tiny_config["search"] |= {"trials": 3, "stopping": "never"}
    tiny_config |= {"ensemble": {"select": "last"}, "callbacks": ["basket"], "baselines": None}
    result = autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)
    assert result.record.metric == "halved"
    assert result.best.score is not None
    assert result.best.score <= 0.5
    assert {trial.prompt for trial in result.trials} == {"one word"}
    assert sorted(sys.modules["orchard"].GATHERED) == [0, 1, 2]
