"""Every labelled text learns and judges: plans carried out once a fold, and what is decided by what
their prompts say of the texts that they did not learn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.bagging import bag, folds_of
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.evaluation.out_of_fold import out_of_fold
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.reporting.wrong_answers import wrong_answers
from autoprompt.results import SearchResult
from autoprompt.search_model import model_of
from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.search_spec import BaggingSpec
from autoprompt.store import FoldRecord, Store
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.workbench import Workbench
from tests.conftest import write_yaml

QUIET = SearchProgress(quiet=True)


@pytest.fixture(scope="module")
def bagged(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A search whose two best plans were carried out on three folds, twice."""
    from tests.conftest import write_texts

    folder = tmp_path_factory.mktemp("bagged")
    write_texts(folder / "texts.csv")
    steps = {"learning_rate": 0.05, "steps": 4, "batch_size": 4}
    trained = {"length": 2, "init": "random", **steps}
    config = {
        "name": "bagged",
        "model": {"path": str(tiny_folder), "dtype": "float32"},
        "data": {"path": "texts.csv", "sizes": {"train": 20, "validation": 16, "test": 20}},
        "task": {
            "template": "{text} It is",
            "label_words": {"positive": "great", "negative": "bad"},
        },
        "space": {
            "soft": trained,
            "kv": trained,
            "hard": {
                "tokens": 2,
                "start": "in short",
                "candidates": 2,
                "rounds": 1,
                "batch_size": 4,
            },
        },
        "search": {"trials": 5, "workers": 0, "seed": 3, "cache_gib_on_disk": 0},
        "ensemble": {"size": 2, "select": "varied"},
        "bagging": {"folds": 3, "repeats": 2, "plans": 2},
        "store": f"sqlite:///{folder / 'store.db'}",
    }
    return autoprompt.search(write_yaml(folder / "search.yaml", config), quiet=True)


def test_every_labelled_text_is_left_out_once_a_division(bagged: SearchResult) -> None:
    folds = store_of(bagged).fold_prompts(bagged.id)
    assert len(folds) == 2 * 3 * 2
    assert not any(fold.error for fold in folds)
    for number in {fold.number for fold in folds}:
        for repeat in (1, 2):
            left = [
                load(fold.left_out)["places"].tolist()
                for fold in folds
                if (fold.number, fold.repeat) == (number, repeat)
            ]
            assert sorted(place for own in left for place in own) == list(range(36))
            labels = np.array(store_of(bagged).labelled(bagged.id))
            parts = [labels[own].mean() for own in left]
            assert max(parts) - min(parts) < 0.2, "a fold without its part of a label"
    kinds = {fold.kind for fold in folds}
    assert len(kinds) == 2, "the varied choice took two of a kind"


def test_what_is_decided_by_is_said_of_texts_that_were_not_learnt(bagged: SearchResult) -> None:
    store = store_of(bagged)
    splits = bagged.config.splits()
    texts = [*splits.train.texts, *splits.validation.texts]
    labels = store.labelled(bagged.id)
    assert labels == [*splits.train.labels, *splits.validation.labels]
    scorer = load_scorer(model_of(bagged.record), bagged.config.task, 8)
    number = bagged.ensemble.voters[0].number
    folds = store.fold_prompts(bagged.id, [number])
    expected = np.zeros((2, len(texts), 2))
    for fold in folds:
        places = load(fold.left_out)["places"]
        assert fold.content is not None
        own = scorer.score_texts([Prompt.from_bytes(fold.content)], [texts[at] for at in places])
        expected[fold.repeat - 1, places] = own[0].exp().numpy()
    metric = METRICS["accuracy"]
    found = out_of_fold(store, bagged.id, labels, bagged.answers, metric)
    [said] = [own for own in found if own.number == number]
    probabilities = np.exp(bagged.answers.unpacked(said.log_probs))
    assert probabilities == pytest.approx(expected.mean(0), abs=1e-4)
    right = (probabilities.argmax(-1) == np.array(labels)).mean()
    assert said.score == pytest.approx(right)
    assert bagged.ensemble.voters[0].score == said.score


def test_a_fold_learns_and_sees_nothing_of_what_it_leaves_out(bagged: SearchResult) -> None:
    prepared = prepare(bagged.config, QUIET)
    left_out = (0, 3, 5)
    bench = Workbench(replace(prepared.job, folds=(left_out, ())))
    plan = plan_from_dict(bagged.trials[0].plan)
    _, whole, part = bench.seat(plan, 0)
    assert part.validation == [whole.train[place] for place in left_out]
    assert len(part.train) == len(whole.train) - 3
    assert not {*map(tuple, part.validation)} & {*map(tuple, part.train)}
    batches = part.train_batches(4, seed=0)
    drawn = {place for _ in range(20) for place in part.in_whole(next(batches))}
    assert drawn == set(range(20)) - set(left_out)
    everything = bench.seat(plan, 1)[2]
    assert len(everything.train) == 20
    shown = plan_from_dict(bagged.trials[0].plan | {"demonstrations": 2})
    learnt = bench.seat(shown, 0)[2]
    assert learnt.places is not None
    assert len(learnt.train) == 20 - 3 - 2
    assert not set(left_out) & set(learnt.places)


def test_the_prompts_of_folds_vote(bagged: SearchResult) -> None:
    ensemble = bagged.ensemble
    prompts = 6 * len(ensemble.voters)
    assert [member.fold for member in ensemble.members[:6]] == [
        f"{repeat}.{fold}" for repeat in (1, 2) for fold in (1, 2, 3)
    ]
    assert len({member.digest for member in ensemble.members}) == prompts
    assert ensemble.weights == [1.0] * prompts
    assert bagged.test is not None
    assert len(bagged.test["members"]) == prompts
    assert ensemble.scores["texts"] == 36
    shown = ensemble.as_dict()
    assert [row["fold"] for row in shown["members"]] == [row.fold for row in ensemble.members]
    assert shown["disagreement_error_ratio"] is not None
    [label] = ensemble.predict(["a joy"])
    assert label.label in ("positive", "negative")
    tried = bagged.try_ensemble(size=1)
    assert len(tried.members) == 6
    for note in (ensemble.note, bagged.try_ensemble(2).note):
        assert "on all labelled texts, the best plan alone" in (note or "")
    again = autoprompt.load(
        bagged.name, db=f"sqlite:///{bagged.config.data.path}".replace("texts.csv", "store.db")
    )
    assert again.ensemble.combination == ensemble.combination


def test_what_it_does_is_shown(bagged: SearchResult, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from autoprompt.cli import main

    db = ["--db", f"sqlite:///{Path(bagged.config.data.path).parent / 'store.db'}"]  # type: ignore[arg-type]
    shown = " ".join(CliRunner().invoke(main, ["show", "bagged", *db]).stdout.split())
    assert f"by {len(bagged.ensemble.members)} prompts of folds" in shown
    assert "The ensemble's probabilities: log loss" in shown
    listed = CliRunner().invoke(main, ["ensemble", "bagged", *db]).stdout
    assert f"{bagged.ensemble.members[0].number}/1.1" in listed
    assert "out of fold" in listed
    assert "validation" not in listed
    page = bagged.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="probabilities"' in page
    assert page.count('<circle class="kv complete"') >= 1


def test_a_search_may_abstain(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    """By an estimate, told on all of the test split; and guaranteed on one half of it, told on the
    other."""
    tiny_config["search"]["trials"] = 2
    told = {}
    for name, spec in (("guessed", {"error": 0.3}), ("sure", {"error": 0.3, "confidence": 0.6})):
        config = tiny_config | {"name": name, "abstain": spec}
        result = autoprompt.search(write_yaml(tmp_path / f"{name}.yaml", config), quiet=True)
        assert result.test is not None
        told[name] = result.test["abstain"]
        rule = result.ensemble.abstention
        assert rule is not None
        assert told[name]["rule"] == rule.as_dict()
        if not rule.reached:
            assert any(
                "no threshold keeps the error" in line for line in result.record.warnings or []
            )
        for row in result.ensemble.predict(["a joy", "dull and far too long", "so it is"]):
            assert (row.label is None) == (row.probability < rule.threshold)
            assert (row.label is None) == (row.reason is not None)
    assert (told["guessed"]["texts"], told["sure"]["texts"]) == (20, 10)
    assert told["guessed"]["rule"]["texts"] == 16
    assert told["sure"]["rule"]["confidence"] == 0.6


def test_what_the_store_has_of_folds_is_not_carried_out_again(
    bagged: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(bagged)
    lost = store.fold_prompts(bagged.id)[3]
    monkeypatch.setattr(Store, "fold_prompts", forgetting(Store.fold_prompts, lost))
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(Store, "record_fold", lambda self, search, number, **row: kept.append(row))
    with pytest.raises(KeyboardInterrupt, match="stopped with 1 folds"):
        bag(prepare(bagged.config, QUIET), store, bagged.record, InProcessExecutor(1, QUIET), QUIET)
    [again] = kept
    assert (again["repeat"], again["fold"]) == (lost.repeat, lost.fold)
    # Alone it comes to what it came to beside the other folds of its plan.
    assert again["loss"] == pytest.approx(lost.loss, abs=1e-5)


def test_plans_of_a_fold_that_err_differently_are_carried_out_together(
    bagged: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And come to the same where a search goes on that has one of them already."""
    store = store_of(bagged)
    prepared = prepare(bagged.config, QUIET)
    known: list[FoldRecord] = []
    monkeypatch.setattr(Store, "fold_prompts", lambda *arguments: known)

    def carried_out(weight: float) -> dict[tuple[int, int], bytes]:
        rows: dict[tuple[int, int], bytes] = {}

        def record(self: Store, search: int, number: int, **row: Any) -> None:
            rows[number, row["fold"]] = row["content"]

        monkeypatch.setattr(Store, "record_fold", record)
        changes = {
            "bagging": BaggingSpec(folds=3, repeats=1, plans=5, negative_correlation=weight),
            "ensemble": prepared.config.ensemble.model_copy(update={"select": "top"}),
        }
        own = replace(prepared, config=prepared.config.model_copy(update=changes))
        with pytest.raises(KeyboardInterrupt):
            bag(own, store, bagged.record, InProcessExecutor(1, QUIET), QUIET)
        return rows

    whole = carried_out(1.0)
    numbers = sorted({number for number, _ in whole})
    trained = [number for number in numbers if bagged.trials[number].kind != "hard"]
    assert sorted(whole) == [(number, fold) for number in numbers for fold in (1, 2, 3)]
    assert 1 < len(trained) < len(numbers)
    for run, content in carried_out(1e-6).items():
        before, after = (load(own) for own in (content, whole[run]))
        [rows] = before.keys() & {"vectors", "rows"} or [None]
        same = rows is None or np.allclose(before[rows], after[rows], atol=1e-4)
        assert same != (run[0] in trained), "a prompt was trained otherwise than its company has it"
    blank = FoldRecord(**dict.fromkeys(FoldRecord.__annotations__))
    known += [
        replace(blank, number=number, repeat=1, fold=fold)
        for number, fold in whole
        if (number, fold) != (numbers[0], 2)
    ]
    again = carried_out(1.0)
    assert again == {(number, 2): whole[number, 2] for number in numbers}


def test_refitted_prompts_learn_all_and_are_judged_by_folds(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"]["trials"] = 2
    del tiny_config["space"]["hard"]
    tiny_config["bagging"] = {"folds": 2, "plans": 2, "refit": True}
    result = autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)
    assert {member.fold for member in result.ensemble.members} == {"all"}
    best = result.best_prompt
    assert best.fold == "all"
    assert result.best.number == best.number
    store = Store.open(tiny_config["store"])
    [refitted] = [fold for fold in store.fold_prompts(result.id, [best.number]) if not fold.fold]
    assert (refitted.score, refitted.log_probs) == (None, None)
    assert refitted.content == best.content
    assert result.test is not None
    assert result.test["best"]["number"] == best.number
    found = result.export(tmp_path / "out", trial=None)
    assert (found / "prompt.json").exists()


def test_more_folds_than_a_label_has_texts_are_refused(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["bagging"] = {"folds": 21}
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    with pytest.raises(BadInputError, match="21 folds, and only 20 labelled texts are"):
        prepare(SearchConfig.read(path), QUIET)


def test_a_plan_of_which_a_fold_failed_does_not_vote(bagged: SearchResult) -> None:
    store = store_of(bagged)
    labels = store.labelled(bagged.id)
    lost = store.fold_prompts(bagged.id)[0]
    honest = Store.fold_prompts

    class Missing:
        fold_prompts = staticmethod(lambda search_id: forgetting(honest, lost)(store, search_id))
        prompts = staticmethod(store.prompts)

    found = out_of_fold(Missing, bagged.id, labels, bagged.answers, METRICS["accuracy"])  # type: ignore[arg-type]
    assert lost.number not in {own.number for own in found}
    assert len(found) == 1


def test_divisions_differ_and_follow_from_the_seed() -> None:
    labels = (0, 1) * 20
    spec = BaggingSpec(folds=4, repeats=2, refit=True)
    folds = folds_of(labels, spec, 5)
    assert folds == folds_of(labels, spec, 5) != folds_of(labels, spec, 6)
    assert set(folds) == {(r, f) for r in (1, 2) for f in (1, 2, 3, 4)} | {(1, 0)}
    assert folds[1, 0] == ()
    assert {folds[1, fold] for fold in (1, 2, 3, 4)} != {folds[2, fold] for fold in (1, 2, 3, 4)}


def forgetting(honest: Any, lost: FoldRecord) -> Any:
    """`Store.fold_prompts` without one of them."""
    return lambda self, search_id, numbers=None: [
        each for each in honest(self, search_id, numbers) if each != lost
    ]


def store_of(result: SearchResult) -> Store:
    return result._store


def test_where_it_was_wrong_is_told_of_voters_and_of_the_prompts_that_label_texts(
    bagged: SearchResult,
) -> None:
    splits = splits_of(bagged.record)
    validation, test = wrong_answers(bagged, splits)
    plans = {voter.number for voter in bagged.ensemble.voters}
    assert (validation.texts, test.texts) == (16, 20)
    assert bagged.test is not None
    assert 1 - test.wrong / 20 == pytest.approx(bagged.test["ensemble"]["score"])
    decided = bagged.ensemble.decisions[-16:]
    assert validation.wrong == int((decided != np.array(splits.validation.labels)).sum())
    for where, members in ((validation, len(plans)), (test, len(bagged.ensemble.members))):
        assert where.listed
        for row in where.listed:
            assert {trial for label in row.votes.values() for trial in label} == plans
            assert sum(sum(label.values()) for label in row.votes.values()) == members
