"""The YAML a user writes: short forms, overrides, and one clear line for whatever is wrong."""

from pathlib import Path
from typing import Any

import pytest

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.dimensions import Range
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


def test_settings_come_before_the_file_and_later_ones_before_earlier(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    path = write_yaml(tmp_path / "s.yaml", tiny_config | {"model": "org/model", "space": "quick"})
    settings = [
        "search.trials=64",
        "search.trials=65",
        "model.dtype=float16",
        "space.soft.length={low: 2, high: 3}",
        "space.hard=null",
        "space.kv.steps=7",
        "confirm.top=2",
        "name=",
        'task.template="It says: {text}\\nSo:"',
        "baselines=[majority, lora]",
    ]
    config, before = SearchConfig.read(path, settings), SearchConfig.read(path)
    assert config.search == before.search.model_copy(update={"trials": 65})
    assert (config.model.path, config.model.dtype) == ("org/model", "float16")
    assert config.space.kinds == ("soft", "kv")
    assert config.space.soft is not None
    assert before.space.soft is not None
    assert config.space.soft.length == Range(low=2, high=3)
    assert config.space.soft.learning_rate == before.space.soft.learning_rate
    assert config.confirm is not None
    assert (config.confirm.top, config.name) == (2, None)
    assert config.task.template == "It says: {text}\nSo:"
    assert config.baselines == ("majority", "lora")
    assert config.with_overrides(trials=3).search.trials == 3
    assert config.source == str(path)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("search.trails=64", ["unknown key 'search.trails'", "did you mean 'trials'"]),
        ("serach.trials=64", ["unknown key 'serach'", "did you mean 'search'"]),
        ("space.soft.lenght=4", ["unknown key 'soft.lenght'", "did you mean 'length'"]),
        ("search.trials=many", ["search.trials", "valid integer", "'many'"]),
        ("search.trials", ["expected KEY=VALUE, such as search.trials=64"]),
        ("=64", ["expected KEY=VALUE"]),
        ("search..trials=64", ["expected KEY=VALUE"]),
        ("search.trials={", ["the value is not valid YAML"]),
        ("data.label.name=x", ["label is 'label' there, which has no keys"]),
    ],
)
def test_a_setting_that_will_not_do_gets_one_line(
    setting: str, words: list[str], tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["data"]["label"] = "label"
    with pytest.raises(ConfigError) as refused:
        SearchConfig.read(write_yaml(tmp_path / "s.yaml", tiny_config), [setting])
    for word in [f"--set {setting}", *words]:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


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
