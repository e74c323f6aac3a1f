"""Searches begun from Python: of tables that a program holds, with keyword arguments."""

from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import autoprompt
from autoprompt.preparation.given_config import given_config
from autoprompt.results import SearchResult
from tests.conftest import write_texts, write_yaml
from tests.tiny import TEXTS, save_tiny_model

SMALL = {"soft": {"length": 1, "learning_rate": 0.1, "steps": 2, "batch_size": 4}}
FRAME = pd.DataFrame(
    {"body": [row["text"] for row in TEXTS], "team": [row["label"] for row in TEXTS]}
)


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tables"
    monkeypatch.setenv("AUTOPROMPT_TABLES", str(folder))
    monkeypatch.setenv("AUTOPROMPT_DB", f"sqlite:///{tmp_path / 'store.db'}")
    return folder


def test_a_frame_is_searched_and_can_be_gone_on_with(tiny_folder: Path, tables: Path) -> None:
    result = autoprompt.search(
        FRAME,
        label="team",
        model={"path": str(tiny_folder), "dtype": "float32"},
        trials=2,
        workers=0,
        space=SMALL,
        search={"cache_gib_on_disk": 0, "rungs": 1},
        baselines=[],
        quiet=True,
    )
    assert (result.name, result.state, result.counts["complete"]) == ("team", "finished", 2)
    assert result.config.task.template == "Body: {text}\nSentiment:"
    assert (result.config.search.rungs, result.config.baselines) == (1, ())
    [kept] = tables.iterdir()
    assert Path(result.config.data.path) == kept
    assert pd.read_parquet(kept).equals(FRAME)
    # Everything that reads the texts again reads that file.
    assert result.explain(quiet=True)


@pytest.mark.parametrize(
    "data",
    [
        FRAME.to_dict("list"),
        FRAME.to_dict("records"),
        datasets.Dataset.from_pandas(FRAME),
        FRAME.astype({"team": "category"}),
    ],
    ids=["columns", "rows", "data set", "categories"],
)
def test_every_kind_of_table_is_the_same_search(data: Any) -> None:
    asked = given_config(data, label="team").to_store()
    expected = given_config(FRAME, label="team").to_store()
    for config in (asked, expected):
        rows = datasets.load_dataset("parquet", data_files=config["data"].pop("path"))["train"]
        assert rows["team"][:] == list(FRAME["team"])
    assert asked == expected


def test_a_split_data_set_keeps_its_splits(tables: Path) -> None:
    parts = datasets.Dataset.from_pandas(FRAME).train_test_split(0.3, seed=0)
    config = given_config(parts, label="team")
    assert len(config.splits().test) <= 34
    assert len(list(tables.iterdir())) == 2


def test_a_files_path_is_left_where_it_is(tmp_path: Path, tables: Path) -> None:
    path = write_texts(tmp_path / "reviews.csv")
    config = given_config(str(path), settings={"task": {"metric": "macro_f1"}})
    assert (config.data.path, config.task.metric) == (str(path), "macro_f1")
    assert config.task.label_words == {"negative": ("negative",), "positive": ("positive",)}
    assert not tables.exists()


def test_keywords_come_before_a_yaml_file(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    config = given_config(
        path, model="other", settings={"search": {"rungs": 2}, "space": "soft", "confirm": None}
    )
    assert (config.search.rungs, config.search.trials) == (2, 6)
    assert config.space.kinds == ("soft",)
    assert config.model.path == "other"


def test_columns_tell_other_tasks() -> None:
    pairs = pd.DataFrame({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": ["x", "y"]})
    assert given_config(pairs).task.answers == "auto"
    several = pd.DataFrame({"text": ["a", "b"], "label": [["x"], ["x", "y"]]})
    assert given_config(several).task.answers == "auto"
    scale = {"answers": "scale", "label_words": {"1": "bad", "5": "good"}}
    rated = pd.DataFrame({"text": ["a", "b"], "label": [1.5, 4.0]})
    assert given_config(rated, settings={"task": scale}).task.answers == "scale"


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        (FRAME, {"label": "tema"}, r"the table: no column 'tema'; it has body, team"),
        (FRAME, {"label": "team", "trails": 3}, "unknown key 'trails'"),
        (FRAME, {"label": "team", "search": {"rung": 3}}, "search.rung'; did you mean 'rungs'"),
        (FRAME.assign(team=0.5), {"label": "team"}, "column 'team' holds floats, such as 0.5"),
        (FRAME.assign(team="x"), {"label": "team"}, "column 'team' has 1 different values"),
        ([1, 2], {}, "not every row is a dict"),
        ([{"a": 1}, {"a": [1]}], {}, "cannot be read as a table"),
        ({"a": [1], "b": [1, 2]}, {}, "cannot be read as a table"),
        ("texts.docx", {}, "neither a YAML file nor labelled texts in a file"),
        (3, {}, "labelled texts are a DataFrame"),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    data: Any, given: dict[str, Any], message: str, tables: Path
) -> None:
    with pytest.raises(autoprompt.BadInputError, match=message) as caught:
        autoprompt.search(data, quiet=True, **given)
    assert "\n" not in str(caught.value)
    assert not tables.exists()


def test_a_whole_configuration_takes_no_keywords(tiny_config: dict[str, Any]) -> None:
    config = autoprompt.SearchConfig.model_validate(tiny_config)
    with pytest.raises(autoprompt.ConfigError, match="space: a SearchConfig says it all"):
        autoprompt.search(config, space="soft")


def classifier(tiny_folder: Path, **given: Any) -> autoprompt.PromptClassifier:
    return autoprompt.PromptClassifier(
        {"path": str(tiny_folder), "dtype": "float32"},
        trials=1,
        space=SMALL,
        settings={"search": {"cache_gib_on_disk": 0, "rungs": 1}, "baselines": []},
        **given,
    )


def test_it_is_a_scikit_learn_classifier(tiny_folder: Path) -> None:
    texts, labels = list(FRAME["body"]), [int(team == "positive") + 3 for team in FRAME["team"]]
    own = classifier(tiny_folder, label_words={3: "negative", 4: "positive"})
    copied = clone(own)
    assert copied.get_params() == own.get_params()
    lowered = FunctionTransformer(lambda given: [text.lower() for text in given])
    pipeline = Pipeline([("lower", lowered), ("prompts", copied)]).fit(texts, labels)
    found = pipeline.predict(texts[:9])
    assert set(found) <= {3, 4}
    chances = pipeline.predict_proba(texts[:9])
    assert chances.shape == (9, 2)
    assert chances.sum(axis=1) == pytest.approx([1.0] * 9)
    [told] = copied.result_.ensemble.predict([texts[0]])
    assert found[0] == int(told.label)
    assert chances[0] == pytest.approx([told.probabilities["3"], told.probabilities["4"]])
    scores = cross_val_score(own, texts, labels, cv=2)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert not hasattr(own, "result_")


def test_a_classifier_reads_a_frames_columns(tiny_folder: Path) -> None:
    frame = FRAME.rename(columns={"team": "title"})[["title", "body"]]
    asked = classifier(tiny_folder, template="{title}: {body}\nSentiment:")
    asked.fit(frame, FRAME["team"])
    assert set(asked.predict(frame[:4])) <= {"negative", "positive"}
    with pytest.raises(autoprompt.BadInputError, match="X: no column 'title'; it has body"):
        asked.predict(frame[["body"]])
    with pytest.raises(autoprompt.BadInputError, match="y: the labels are floats"):
        asked.fit(frame, [0.5] * len(frame))
    with pytest.raises(autoprompt.BadInputError, match="another number of texts"):
        asked.fit(frame, FRAME["team"][:5])


def test_a_notebook_shows_what_was_found(finished: SearchResult) -> None:
    page = finished._repr_html_()
    assert f"{finished.best.score:.4f}" in page
    assert f"{finished.test['ensemble']['low']:.4f} to" in page
    assert "<script" not in page
    frame = finished.trials_dataframe()
    assert list(frame["score"]) == [trial.score for trial in finished.trials]
    assert {f"params_{name}" for trial in finished.trials for name in trial.params} <= set(frame)


@pytest.mark.parametrize("ensemble", [True, False])
def test_an_exported_folder_predicts(
    finished: SearchResult, tiny_folder: Path, tmp_path: Path, ensemble: bool
) -> None:
    folder = finished.export(tmp_path / "out", ensemble=ensemble)
    texts = [row["text"] for row in TEXTS[:8]]
    loaded = autoprompt.load(str(folder), model=str(tiny_folder))
    found = loaded.predict(texts)
    if ensemble:
        assert found == finished.ensemble.predict(texts)
    assert {one.label for one in found} <= {"negative", "positive"}
    with pytest.raises(autoprompt.ModelError, match="its prompts are for model model: say where"):
        autoprompt.load(folder)
    other = save_tiny_model(tmp_path / "other", rms_norm_eps=0.1)
    with pytest.raises(autoprompt.ModelError, match="not the one that the search of"):
        autoprompt.load(folder, model=str(other))
    with pytest.raises(autoprompt.BadInputError, match="no prompts of this version"):
        autoprompt.load(tmp_path)
