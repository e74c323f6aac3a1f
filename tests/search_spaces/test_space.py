"""Spaces: what is accepted, what is refused in which words, and what is sampled."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from autoprompt.search_spaces import (
    HardPlan,
    SoftPlan,
    Space,
    load_space,
    params_within,
    plan_from_dict,
    preset_names,
    preset_path,
    sample,
)
from autoprompt.search_spaces.documents import parse, read_yaml
from autoprompt.search_spaces.errors import ConfigError

SOFT = {"length": 4, "learning_rate": 0.1, "steps": 10}
HARD = {"tokens": 4, "start": "x", "rounds": 4}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"soft": SOFT | {"length": {"low": 9, "high": 2}}}, ["soft.length", "reversed", "swap"]),
        ({"soft": SOFT | {"lenght": 3}}, ["'soft.lenght'", "did you mean 'length'"]),
        ({"sof": {}}, ["unknown key 'sof'", "did you mean 'soft'"]),
        ({"other": {}}, ["unknown key 'other'", "soft, hard, mixed"]),
        ({"soft": SOFT | {"length": 0}}, ["soft.length", "at least 1"]),
        ({"soft": SOFT | {"learning_rate": [0.1, 0.0]}}, ["soft.learning_rate", "above 0"]),
        ({"soft": SOFT | {"learning_rate": float("inf")}}, ["soft.learning_rate", "finite"]),
        ({"soft": SOFT | {"init": "magic"}}, ["soft.init", "'random'", "'magic'"]),
        ({"soft": SOFT | {"init": ["text"]}}, ["soft", "init_text"]),
        ({"soft": SOFT | {"init": ["prompt"]}}, ["soft", "init_prompt"]),
        ({"soft": SOFT | {"steps": []}}, ["soft.steps", "empty list"]),
        ({"soft": SOFT | {"steps": [3, 3]}}, ["soft.steps", "twice"]),
        ({"soft": SOFT | {"steps": "many"}}, ["soft.steps", "integer", "'many'"]),
        ({"soft": SOFT | {"length": {"low": 1, "high": 4, "hihg": 8}}}, ["length.hihg", "'high'"]),
        ({"hard": {"tokens": 4, "rounds": 4}}, ["hard: start is required"]),
        ({"hard": HARD | {"position": "middle"}}, ["hard.position", "'suffix'", "'middle'"]),
        ({}, ["at least one of the kinds"]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(content: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Space, content, "mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soft: [1, 2", ["mine.yaml:1:", "not valid YAML"]),
        ("a: 1\nb: 2\na: 3\n", ["mine.yaml:3:1", "'a' is given twice"]),
        ("- a\n- b\n", ["expected a mapping"]),
        ("x: !!python/object/apply:os.getcwd []", ["not valid YAML"]),
    ],
)
def test_yaml_that_will_not_do(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        read_yaml(tmp_path / "none.yaml")


def test_every_preset_loads_and_says_what_it_is_for() -> None:
    assert {"soft", "hard", "mixed", "full", "quick"} <= set(preset_names())
    for name in preset_names():
        space = load_space(name, Path(), "test")
        assert space.description
        assert preset_path(name).is_file()


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"my\.yaml: space: no preset named 'huge'.*quick"):
        load_space("huge", Path(), "my.yaml")


def test_a_space_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("soft: {length: 2, learning_rate: 0.1, steps: 5}")
    assert load_space("s.yaml", tmp_path, "my.yaml").kinds == ("soft",)


def test_sampling_is_conditional_and_stays_within_the_space(space: Space) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    kinds = set()
    for _ in range(60):
        trial = study.ask()
        plan = sample(space, trial, seed=0)
        kinds.add(plan.kind)
        names = set(trial.params)
        if isinstance(plan, SoftPlan):
            assert not any(name.startswith("hard.") for name in names)
            assert 1 <= plan.length <= 16
            assert 0.001 <= plan.learning_rate <= 0.3
            assert ("soft.init_text" in names) == (plan.init == "text")
            assert (plan.init_text is not None) == (plan.init == "text")
        else:
            assert isinstance(plan, HardPlan)
            assert names == {"kind", "hard.tokens", "hard.start"}
            assert 2 <= plan.tokens <= 6
        assert plan_from_dict(plan.model_dump()) == plan
    assert kinds == {"soft", "hard"}


def test_a_trial_has_a_seed_of_its_own_that_follows_from_the_searchs(space: Space) -> None:
    def seeds(seed: int) -> list[int]:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        return [sample(space, study.ask(), seed).seed for _ in range(5)]

    assert seeds(0) == seeds(0)
    assert len({*seeds(0), *seeds(1)}) == 10


def test_the_longest_prompt_is_found_over_all_kinds(space: Space) -> None:
    assert space.longest_prompt() == 16


def test_of_an_earlier_plan_only_what_the_space_may_draw_is_kept(space: Space) -> None:
    soft = {"kind": "soft", "seed": 1, "length": 8, "init": "text", "init_text": "all in all"}
    soft |= {"learning_rate": 0.5, "steps": 20, "position": "prefix"}
    assert params_within(space, soft) == {
        "kind": "soft",
        "soft.length": 8,
        "soft.init": "text",
        "soft.init_text": "all in all",
        "soft.steps": 20,
    }
    assert "soft.init_text" not in params_within(space, soft | {"init": "vocabulary"})
    hard = {"kind": "hard", "tokens": 9, "start": "b", "rounds": 4}
    assert params_within(space, hard) == {"kind": "hard", "hard.start": "b"}
    alone = space.model_copy(update={"hard": None})
    assert params_within(alone, hard) == {}
    assert "kind" not in params_within(alone, soft)


def test_whatever_was_sampled_lies_within(space: Space) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(30):
        trial = study.ask()
        plan = sample(space, trial, seed=0)
        assert params_within(space, plan.model_dump()) == trial.params
