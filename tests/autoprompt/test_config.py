"""The YAML a user writes: short forms, overrides, and one clear line for whatever is wrong."""

from pathlib import Path
from typing import Any

import pytest

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import ConfigError
from tests.conftest import DEMO, write_yaml


def test_the_demos_file_reads_and_its_model_path_starts_from_it() -> None:
    config = SearchConfig.read(DEMO / "search.yaml")
    assert config.name == "movies"
    assert Path(config.model.path).is_absolute()
    assert config.space.kinds == ("soft", "hard", "kv")
    assert config.search.fractions[-1] == 1.0


def test_a_config_outlives_its_json(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    config = SearchConfig.read(write_yaml(tmp_path / "s.yaml", tiny_config))
    stored = config.model_dump(mode="json")
    again = SearchConfig.model_validate(stored)
    assert again.model_dump(mode="json") == stored


def test_a_hub_id_is_left_as_it_is(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["model"] = "org/model"
    config = SearchConfig.read(write_yaml(tmp_path / "s.yaml", tiny_config))
    assert config.model.path == "org/model"


def test_overrides_come_before_the_file(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    config = SearchConfig.read(write_yaml(tmp_path / "s.yaml", tiny_config))
    changed = config.with_overrides(trials=9, seed=0, name="other")
    assert (changed.search.trials, changed.search.seed, changed.name) == (9, 0, "other")
    assert changed.search.workers == config.search.workers
    assert changed.base == tmp_path
    with pytest.raises(ConfigError, match="trials: input should be greater"):
        config.with_overrides(trials=0)
    for name in ("7", "latest", " "):
        with pytest.raises(ConfigError, match="--name: a search cannot be named"):
            config.with_overrides(name=name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"serach": {}}, ["unknown key 'serach'", "did you mean 'search'"]),
        ({"search": {"trails": 3}}, ["unknown key 'search.trails'", "did you mean 'trials'"]),
        ({"search": {"workers": -1}}, ["search.workers", "greater than or equal to 0", "-1"]),
        ({"search": {"trials": "lots"}}, ["search.trials", "integer", "'lots'"]),
        ({"data": {"path": "a.csv", "sizes": {"train": -1}}}, ["data.sizes.train", "-1"]),
        ({"data": None}, ["data", "None"]),
        ({"model": {"paht": "x"}}, ["'model.paht'", "did you mean 'path'"]),
        ({"task": {"label_words": {"a": "b"}}}, ["task.label_words", "two labels"]),
        ({"space": "huge"}, ["space: no preset named 'huge'", "quick"]),
        ({"space": "none.yaml"}, ["none.yaml: no such file"]),
        ({"space": {"sfot": {}}}, ["space", "unknown key 'sfot'", "did you mean 'soft'"]),
        ({"ensemble": {"vote": "loudest"}}, ["ensemble.vote", "'majority'", "'loudest'"]),
        ({"name": "latest"}, ["name", "'latest'"]),
        ({"name": "n" * 181}, ["name", "at most 180 characters"]),
        ({"search": {"seed": 2**32}}, ["search.seed", "less than 4294967296"]),
    ],
)
def test_what_is_wrong_is_named(
    change: Any, words: list[str], tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    path = write_yaml(tmp_path / "s.yaml", tiny_config | change)
    with pytest.raises(ConfigError) as caught:
        SearchConfig.read(path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_key_is_named(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    del tiny_config["task"]
    with pytest.raises(ConfigError, match="task is required"):
        SearchConfig.read(write_yaml(tmp_path / "s.yaml", tiny_config))


def test_one_plan_has_none_to_err_differently_from(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["bagging"] = {"plans": 1, "negative_correlation": 0.5}
    path = write_yaml(tmp_path / "s.yaml", tiny_config)
    with pytest.raises(ConfigError, match=r"bagging: .*give plans 2 or more") as caught:
        SearchConfig.read(path)
    assert "\n" not in str(caught.value)
