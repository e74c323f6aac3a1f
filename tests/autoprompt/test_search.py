"""Whole searches, with a tiny model: what is stored, counted, and survived."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import BadInputError, SearchFailedError, SearchUnfinishedError
from autoprompt.store import Store
from autoprompt.store.tables import Prompt, Trial
from autoprompt.workers.model_loading import load_model
from tests.conftest import write_yaml
from tests.tiny import TEXTS

pytestmark = pytest.mark.usefixtures("shared_ray")


def run(config: dict[str, Any], folder: Path, **options: Any) -> SearchResult:
    return autoprompt.search(write_yaml(folder / "search.yaml", config), quiet=True, **options)


def test_a_search_from_yaml_to_predictions(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    result = run(tiny_config, tmp_path)
    assert (result.name, result.state) == ("tiny", "finished")
    assert len(result.trials) == 6
    assert {trial.kind for trial in result.trials} == {"soft", "hard"}
    assert result.counts["running"] == result.counts["failed"] == 0
    for trial in result.trials:
        assert trial.rungs
        assert trial.prompt or (trial.prompt == "" and trial.kind == "hard"), "nothing, or words"
        assert trial.score == max(rung.score for rung in trial.rungs)
        assert trial.state == ("complete" if trial.rungs[-1].rung == 3 else "pruned")
    assert result.best.score == max(trial.score or 0 for trial in result.trials)

    ensemble = result.ensemble
    assert ensemble.validation >= (result.best.score or 0)
    assert len(ensemble.members) == 3 or ensemble.note
    assert len({member.digest for member in ensemble.members}) == len(ensemble.members)
    predictions = result.ensemble.predict(["the film is a joy", "the plot is dull"])
    assert [each.text for each in predictions] == ["the film is a joy", "the plot is dull"]
    for each in predictions:
        assert each.label in ("negative", "positive")
        assert 0 < each.probability < 1
        assert each.votes >= 0.5

    test = result.test
    assert test is not None
    assert test["texts"] == 20
    for row in ("no_prompt", "best", "mean", "ensemble"):
        assert 0 <= test[row]["low"] <= test[row]["score"] <= test[row]["high"] <= 1
    assert json.loads(json.dumps(result.as_dict())) == result.as_dict()

    again = autoprompt.load("tiny", db=tiny_config["store"])
    assert again.as_dict() == result.as_dict()
    assert again.record.versions["model"]
    assert again.record.versions["data"]
    assert again.record.versions["code"]


def test_stored_predictions_are_the_prompts_own(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """A prompt read back from the store scores the validation texts as the worker did."""
    import torch
    from safetensors.torch import load

    from autoprompt.preparation.prepare import prepare
    from autoprompt.progress import SearchProgress
    from autoprompt.workers.prompt import Prompt as PromptArtefact
    from autoprompt.workers.scoring import Scorer
    from autoprompt.workers.task import build_task

    result = run(tiny_config, tmp_path)
    config = SearchConfig.read(tmp_path / "search.yaml")
    validation = prepare(config, SearchProgress(quiet=True)).splits.validation
    model = load_model(config.model)
    scorer = Scorer(model, build_task(config.task, model.tokenizer), config.space.longest_prompt())
    texts = scorer.tokenize(validation.texts)
    for member in result.ensemble.members:
        scores = scorer.log_probs([PromptArtefact.from_bytes(member.content)], texts)[0]
        stored = load(member.log_probs)["log_probs"]
        torch.testing.assert_close(scores, stored, atol=1e-4, rtol=0)
        right = scores.argmax(-1) == torch.tensor(validation.labels)
        assert float(right.float().mean()) == pytest.approx(member.score)


def test_after_its_first_trial_a_worker_loads_and_encodes_nothing(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"] |= {"trials": 12, "workers": 2}
    result = run(tiny_config, tmp_path)
    by_worker = defaultdict(list)
    for trial in sorted(result.trials, key=lambda trial: trial.started_at):
        by_worker[trial.worker].append(trial)
    # A worker that starts late may find no trial left.
    assert len(by_worker) <= 2, "actors were not reused"
    for first, *others in by_worker.values():
        assert (first.models_loaded, first.texts_encoded) == (1, 24 + 16)
        assert [(trial.models_loaded, trial.texts_encoded) for trial in others] == [(0, 0)] * len(
            others
        )


def test_a_second_search_on_the_same_data_encodes_nothing(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    tiny_config["search"] |= {"trials": 3, "cache_gib_on_disk": 1.0}

    def encoded() -> int:
        return sum(trial.texts_encoded for trial in run(tiny_config, tmp_path).trials)

    assert encoded() == 24 + 16
    assert encoded() == 0


def test_trials_that_share_a_worker_are_stored_one_by_one(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"] |= {"trials": 7, "workers": 2, "trials_per_worker": 3}
    result = run(tiny_config, tmp_path)
    trials = sorted(result.trials, key=lambda trial: trial.number)
    assert [trial.number for trial in trials] == list(range(7))
    assert {trial.state for trial in trials} <= {"complete", "pruned"}
    for trial in trials:
        assert [rung.rung for rung in trial.rungs] == list(range(1, len(trial.rungs) + 1))
        assert trial.state == ("complete" if trial.rungs[-1].rung == 3 else "pruned")
        assert trial.seconds > 0
    packs = [trials[0:3], trials[3:6], trials[6:7]]
    for pack in packs:
        assert len({trial.worker for trial in pack}) == 1
        assert len({trial.plan["data_seed"] for trial in pack}) == 1
    assert sum(trial.models_loaded for trial in trials) == len({trial.worker for trial in trials})


@pytest.mark.parametrize("together", [1, 3])
def test_one_worker_and_one_seed_give_the_same_search_byte_for_byte(
    together: int, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"]["trials_per_worker"] = together

    def content(name: str, seed: int) -> list[Any]:
        result = run(tiny_config, tmp_path, name=name, seed=seed)
        store = Store.open(tiny_config["store"])
        query = sa.select(Trial.plan, Trial.state, Prompt.content, Prompt.log_probs).join(
            Prompt, Prompt.trial_id == Trial.id
        )
        with store.database.engine.connect() as connection:
            rows = connection.execute(
                query.where(Trial.search_id == result.id).order_by(Trial.number)
            )
            return [tuple(row) for row in rows]

    assert content("a", 1) == content("b", 1)
    assert content("c", 2) != content("d", 3)


def test_a_trial_that_fails_is_kept_with_its_reason_and_the_search_goes_on(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["space"]["soft"]["learning_rate"] = [0.05, 1e38]
    tiny_config["search"] |= {"trials": 8, "seed": 2}
    result = run(tiny_config, tmp_path)
    assert result.state == "finished"
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert failed
    assert len(failed) < 8
    for trial in failed:
        assert trial.plan["learning_rate"] == 1e38
        assert trial.error is not None
        assert trial.error.startswith("RuntimeError: ")
        assert trial.traceback is not None
        assert trial.number not in [member.number for member in result.ensemble.members]
    loads = defaultdict(int)
    for trial in result.trials:
        loads[trial.worker] += trial.models_loaded
    assert list(loads.values()) == [1], "a failed trial cost the worker its model"


def test_a_search_whose_every_trial_fails_says_why_the_first_did(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["space"] = {
        "soft": {"length": 2, "init": "random", "learning_rate": 1e38, "steps": 4}
    }
    tiny_config["search"]["trials"] = 2
    with pytest.raises(SearchFailedError, match="every trial of search 'tiny' failed; trial 0: "):
        run(tiny_config, tmp_path)
    result = autoprompt.load(db=tiny_config["store"])
    assert result.state == "failed"
    assert result.record.error
    assert result.test is None
    with pytest.raises(SearchUnfinishedError, match="has no ensemble"):
        _ = result.ensemble


def test_the_test_split_never_reaches_a_worker(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    from autoprompt.preparation.prepare import prepare
    from autoprompt.progress import SearchProgress

    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    prepared = prepare(config, SearchProgress(quiet=True))
    seen = {*prepared.job.train.texts, *prepared.job.validation.texts}
    assert not seen & set(prepared.splits.test.texts)
    assert len(seen) + len(prepared.splits.test) == 60


def test_a_taken_name_is_refused_or_numbered(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["search"]["trials"] = 1
    assert run(tiny_config, tmp_path).name == "tiny"
    assert run(tiny_config, tmp_path).name == "tiny-2"
    with pytest.raises(BadInputError, match="'tiny' exists"):
        run(tiny_config, tmp_path, name="tiny")
    assert len(autoprompt.load(db=tiny_config["store"])._store.searches()) == 2


def test_another_ensemble_is_tried_without_touching_the_stored_one(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    result = run(tiny_config, tmp_path)
    tried = result.try_ensemble(size=1)
    assert [member.number for member in tried.members] == [result.best.number]
    assert tried.validation == pytest.approx(result.best.score)
    weighted = result.try_ensemble(3, vote="weighted", select="diversity")
    assert (weighted.vote, weighted.select) == ("weighted", "diversity")
    assert len(weighted.members) == 3 or weighted.note
    assert weighted.as_dict()["test"] is None
    stored = autoprompt.load(db=tiny_config["store"]).ensemble
    assert [m.number for m in stored.members] == [m.number for m in result.ensemble.members]


def test_a_config_object_works_as_a_file_does(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["data"]["path"] = str(tmp_path / "texts.csv")
    tiny_config["search"]["trials"] = 1
    result = autoprompt.search(SearchConfig.model_validate(tiny_config), quiet=True)
    assert result.state == "finished"
    assert len(TEXTS) > 60
