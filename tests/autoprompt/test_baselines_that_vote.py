"""`ensemble.members: any`: baselines are members of the vote beside prompts, wherever it goes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import autoprompt
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.controller.bagging import folds_of
from autoprompt.controller.baselines import _divisions
from autoprompt.ensemble.selection import traits_of
from autoprompt.evaluation.candidates import beside_baselines
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.reporting.wrong_answers import wrong_answers
from autoprompt.results import SearchResult
from autoprompt.search_model import model_of
from autoprompt.search_spaces.errors import AutopromptError, BadInputError, ConfigError
from autoprompt.search_spec import EnsembleSpec
from autoprompt.store import BaselineRecord, Store
from autoprompt.workers.answers import answers_of
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.baselines.baseline import Baseline, Learnt, Resources
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import Text, as_text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.task import TaskSpec
from autoprompt.workers.vote import Floats
from tests.conftest import write_texts, write_yaml
from tests.tiny import _GOOD, TEXTS


class Able(Baseline):
    """Nearly always right, and sure of it."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        return Learnt(b"able")

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        good = [as_text(text).endswith(_GOOD[:6]) for text in texts]
        return np.log(np.where(np.array(good)[:, None], [0.02, 0.98], [0.98, 0.02])).astype("f4")


class BreaksLater(Able):
    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        if len(texts) == 20:
            raise RuntimeError("test texts")
        return super().log_probs(content, texts)


class Memory(Baseline):
    """Right about every text that it learnt, wrong about the others."""

    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        learnt = dict(zip(map(as_text, texts), map(int, labels), strict=True))
        return Learnt(json.dumps(learnt).encode())

    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        learnt, right = json.loads(content), {row["text"]: row["label"] for row in TEXTS}
        rows = []
        for text in map(as_text, texts):
            label = ["negative", "positive"].index(right[text])
            rows.append(np.eye(2)[learnt.get(text, 1 - label)])
        return np.log(np.array(rows) * 0.9 + 0.05).astype("f4")


ABLE, BREAKS, MEMORY = (f"{__name__}:{kind.__name__}" for kind in (Able, BreaksLater, Memory))
NAMES = ["template", "linear_probe", ABLE, MEMORY]


def small(tiny_folder: Path, folder: Path, **changes: Any) -> Path:
    """A search of a moment."""
    write_texts(folder / "texts.csv")
    config = {
        "name": "voted",
        "model": {"path": str(tiny_folder), "dtype": "float32"},
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": {
            "template": "{text} It is",
            "label_words": {"negative": "bad", "positive": "great"},
        },
        "space": {"soft": {"length": 1, "learning_rate": 0.05, "steps": 2, "batch_size": 4}},
        "search": {"trials": 2, "rungs": 1, "workers": 0, "seed": 3, "cache_gib_on_disk": 0},
        "ensemble": {"size": 4, "vote": "mean", "members": "any"},
        "baselines": NAMES,
        "store": f"sqlite:///{folder / 'store.db'}",
    }
    return write_yaml(folder / "search.yaml", config | changes)


@pytest.fixture(scope="module")
def voted(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    folder = tmp_path_factory.mktemp("voted")
    return autoprompt.search(small(tiny_folder, folder), quiet=True)


@pytest.fixture(scope="module")
def bagged(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """The same, on three folds of the labelled texts, divided twice."""
    folder = tmp_path_factory.mktemp("bagged")
    bagging = {"folds": 3, "repeats": 2, "plans": 1}
    return autoprompt.search(small(tiny_folder, folder, bagging=bagging), quiet=True)


def records(result: SearchResult) -> dict[str, BaselineRecord]:
    return {record.name: record for record in result._store.baselines(result.id)}


def command(result: SearchResult, *arguments: str) -> str:
    """What a command prints, in one line."""
    path = Path(str(result.config.data.path)).parent / "store.db"
    done = CliRunner().invoke(main, [*arguments, "--db", f"sqlite:///{path}"])
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_those_that_answer_any_text_vote_by_name(voted: SearchResult) -> None:
    assert voted.record.ensemble is not None
    members = voted.record.ensemble["members"]
    assert members == [voter.reference for voter in voted.ensemble.voters]
    assert {ABLE, voted.best.number} < set(members), "no vote of both"
    assert voted.best_prompt.number == voted.record.best
    by_name = {voter.reference: voter for voter in voted.ensemble.voters}
    assert by_name[ABLE].score == records(voted)[ABLE].score
    assert MEMORY not in members, "it was judged by texts that it learnt"
    assert records(voted)[MEMORY].score == 0.0


def test_where_folds_vote_baselines_are_judged_by_what_they_did_not_learn(
    bagged: SearchResult,
) -> None:
    store, splits, found = bagged._store, splits_of(bagged.record), records(bagged)
    both = splits.train.beside(splits.validation)
    assert bagged.config.bagging is not None
    folds = folds_of(both.labels, bagged.config.bagging, 3)
    scorer = load_scorer(model_of(bagged.record), bagged.config.task, 1)
    probe = BASELINES["linear_probe"].made(Resources.of(scorer, 3))
    expected = np.zeros((2, len(both), 2))
    for (repeat, _), places in folds.items():
        learnt = both.at([place for place in range(len(both)) if place not in places])
        content = probe.fit(learnt.texts, learnt.labels).content
        said = probe.log_probs(content, both.at(places).texts)
        expected[repeat - 1, list(places)] = np.exp(said)
    packed = found["linear_probe"].log_probs
    assert packed is not None
    stored = np.exp(bagged.answers.unpacked(packed))
    assert stored == pytest.approx(expected.mean(0), abs=1e-3)
    # What show has on validation is of the validation texts among them.
    right = stored[-16:].argmax(1) == np.array(splits.validation.labels)
    assert found["linear_probe"].score == right.mean()
    assert found[MEMORY].score == 0.0
    # And the one that labels texts has learnt all.
    assert json.loads(found[MEMORY].content or b"") == dict(
        zip(map(as_text, both.texts), both.labels, strict=True)
    )
    assert len(store.labelled(bagged.id)) == len(both)


def test_texts_of_a_group_are_learnt_or_judged_by_together(
    tiny_folder: Path, tmp_path: Path
) -> None:
    data = {
        "path": "texts.csv",
        "group": "thing",
        "sizes": {"train": 28, "validation": 28, "test": 14},
    }
    path = small(tiny_folder, tmp_path, data=data, bagging={"folds": 3, "repeats": 2, "plans": 1})
    rows = [row | {"thing": row["text"].split(" is ")[0]} for row in TEXTS]
    write_texts(tmp_path / "texts.csv", rows)
    prepared = prepare(SearchConfig.read(path), SearchProgress(quiet=True))
    pool = prepared.splits.train.beside(prepared.splits.validation)
    divisions = _divisions(prepared)
    assert len(divisions) == 2
    for division in divisions:
        assert sorted(place for fold in division for place in fold) == list(range(len(pool)))
        parts = [{pool.groups[place] for place in fold} for fold in division]
        assert sum(map(len, parts)) == len(set(pool.groups)), "a group is in two folds"


def test_a_baseline_counts_as_much_as_all_folds_of_a_plan(bagged: SearchResult) -> None:
    ensemble = bagged.ensemble
    assert {voter.reference for voter in ensemble.voters} > {ABLE}
    weights = {voter.reference: 0.0 for voter in ensemble.voters}
    for member, weight in zip(ensemble.members, ensemble.weights, strict=True):
        assert (member.fold is None) == (member.number is None)
        weights[member.reference] += weight
    assert len(ensemble.members) > len(ensemble.voters), "no prompts of folds vote"
    assert set(weights.values()) == {6.0}
    assert all(voter.score is not None for voter in ensemble.voters)
    table = ensemble.as_dict()
    assert table["validation"]["texts"] == 40
    assert [row["baseline"] for row in table["members"]] == [
        member.baseline for member in ensemble.members
    ]


@pytest.mark.parametrize("kind", ["voted", "bagged"])
def test_they_label_texts_as_they_did_when_they_were_tested(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result: SearchResult = request.getfixturevalue(kind)
    test = splits_of(result.record).test
    assert result.test is not None
    assert result.test_opening is not None
    answered = result.held_out_answers(result.test_opening)
    assert answered is not None
    said = result.ensemble.predict(test.texts)
    assert [row.label for row in said] == [result.answers.names[own] for own in answered.voted]
    mixed = np.exp(answered.mixed)
    given = np.array([list(row.probabilities.values()) for row in said])
    assert given == pytest.approx(mixed, abs=1e-4)
    assert result.ensemble.predict([]) == []
    names = result.answers.names
    rows = [
        {"text": as_text(text), "label": names[label]}
        for text, label in zip(test.texts, test.labels, strict=True)
    ]
    again = result.evaluate(str(write_texts(tmp_path / "again.csv", rows)), quiet=True)
    assert again["ensemble"] == result.test["ensemble"]
    assert again["members"] == result.test["members"]
    assert ABLE in {row["baseline"] for row in again["members"]}


def test_they_are_shown_by_name(voted: SearchResult, bagged: SearchResult, tmp_path: Path) -> None:
    shown = command(voted, "show", "voted")
    assert "The prompts and baselines that vote" in shown
    assert "baseline 0." in shown or "baseline 1." in shown
    count = sum(member.number is not None for member in bagged.ensemble.members)
    assert f"plans and baselines that vote, by {count} prompts of folds" in command(
        bagged, "show", "voted"
    )
    listed = json.loads(command(voted, "ensemble", "voted", "--json"))
    [able] = [row for row in listed["members"] if row["baseline"] == ABLE]
    assert (able["number"], able["kind"], able["fold"]) == (None, "baseline", None)
    assert able["validation"]["score"] == able["score"]
    assert able["test"]["baseline"] == ABLE
    assert "baseline" in command(voted, "ensemble", "voted")
    label = json.loads(command(voted, "predict", "voted", "the film is a joy", "--json"))
    assert label[0]["label"] in ("negative", "positive")
    page = voted.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>The prompts and baselines that vote</h2>" in page
    assert 'href="#trial-None"' not in page
    voters = {voter.reference for voter in voted.ensemble.voters}
    for where in wrong_answers(voted, splits_of(voted.record)):
        assert all(
            {one for by in row.votes.values() for one in by} == voters for row in where.listed
        )


def test_an_export_holds_prompts_alone_and_says_so(voted: SearchResult, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=rf"--ensemble: .*{ABLE}.* vote, .*best prompt, of tr"):
        voted.export(tmp_path / "out", ensemble=True)
    assert not (tmp_path / "out").exists()
    folder = voted.export(tmp_path / "out")
    document = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    assert [row["trial"] for row in document["prompts"]] == [voted.record.best]


def test_others_are_tried_on_what_is_stored(voted: SearchResult, finished: SearchResult) -> None:
    prompts = voted.try_ensemble(members="prompts")
    assert not prompts.baselines
    assert voted.try_ensemble(size=4).baselines == voted.ensemble.baselines
    assert finished.ensemble.baselines == finished.try_ensemble(size=3).baselines == []
    ranked = [row for row in finished.baselines if row["error"] is None]
    best = max(row["validation"] for row in ranked)
    assert best > finished.leaderboard[0].score, "no baseline would be the first to vote"  # type: ignore[operator]
    tried = json.loads(
        command(finished, "ensemble", "finished", "--size", "1", "--members", "any", "--json")
    )
    assert tried["members"][0]["score"] == best
    assert tried["members"][0]["baseline"] in {row["name"] for row in ranked}
    assert tried["test"] is None


def test_prompts_of_folds_vote_with_no_baseline_that_learnt_their_texts(
    bagged: SearchResult, voted: SearchResult
) -> None:
    """As of a search that was told of no such vote: its baselines know the validation texts."""
    labels = bagged._store.labelled(bagged.id)
    answers, metric = bagged.answers, METRICS["accuracy"]
    with pytest.raises(BadInputError, match=r"baseline \S+ was not fitted once a fold.*--members"):
        beside_baselines([], list(records(voted).values()), labels, answers, metric)
    found = beside_baselines([], list(records(bagged).values()), labels, answers, metric)
    assert len(found) == len(NAMES)


def test_none_votes_where_several_answers_are_right(voted: SearchResult) -> None:
    several = answers_of(
        TaskSpec(
            answers="several_labels",
            template="{text}:",
            yes_no=("great", "bad"),
            label_words={"negative": ("negative",), "positive": ("positive",)},
        )
    )
    stored = [records(voted)["template"]]
    with pytest.raises(BadInputError, match=r"baselines vote .* several_labels .*--members prom"):
        beside_baselines([], stored, [(0,), (1,)], several, METRICS["micro_f1"])
    assert beside_baselines([], [], [(0,), (1,)], several, METRICS["micro_f1"]) == []


def test_one_that_is_a_prompt_is_the_same_as_that_prompt(voted: SearchResult) -> None:
    [template] = beside_baselines(
        [], [records(voted)["template"]], voted.validation_labels, voted.answers, METRICS["ece"]
    )
    assert template.digest == Prompt("").digest
    assert template.fitted is None


def test_one_whose_model_is_not_kept_answers_no_other_text(voted: SearchResult) -> None:
    stored = [replace(records(voted)[ABLE], name=name) for name in ("lora", "majority")]
    found = beside_baselines(
        [], stored, voted.validation_labels, voted.answers, METRICS["accuracy"]
    )
    assert [candidate.reference for candidate in found] == ["majority"]


def test_a_baseline_shares_no_trait_with_others(voted: SearchResult) -> None:
    traits = [traits_of(voter) for voter in voted.ensemble.voters]
    assert len({len(own) for own in traits}) == 1
    able = next(traits_of(one) for one in voted.ensemble.voters if one.baseline == ABLE)
    assert sum(own == able[place] for row in traits for place, own in enumerate(row)) == len(able)


@pytest.mark.parametrize("baselines", [None, ["lora", "fine_tuning"]])
def test_without_any_that_could_vote_nothing_starts(
    baselines: Any, tiny_folder: Path, tmp_path: Path
) -> None:
    path = small(tiny_folder, tmp_path, baselines=baselines)
    with pytest.raises(ConfigError, match=r"search.yaml: ensemble.members: any lets base.*probe"):
        SearchConfig.read(path)
    with pytest.raises(ConfigError, match=r"ensemble.members: any"):
        autoprompt.search(path, quiet=True)
    assert not (tmp_path / "store.db").exists()
    assert EnsembleSpec().members == "prompts"


def test_one_that_votes_and_fails_ends_the_search_and_a_resumed_one_chooses_the_same(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = {"size": 1, "members": "any"}
    path = small(tiny_folder, tmp_path, baselines=[BREAKS], ensemble=ensemble)
    with pytest.raises(AutopromptError, match=rf"baseline {BREAKS} votes, and its answers to thes"):
        autoprompt.search(path, quiet=True)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    failed = Store.open(url).find("latest")
    assert failed.ensemble is not None
    assert failed.ensemble["members"] == [BREAKS]
    monkeypatch.setattr(BreaksLater, "log_probs", Able.log_probs)
    resumed = autoprompt.resume(db=url, quiet=True)
    assert resumed.record.ensemble == failed.ensemble
    assert resumed.test is not None
    assert resumed.test["members"][0]["baseline"] == BREAKS
