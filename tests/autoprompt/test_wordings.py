"""Plans that bring their own template and label words: one worker, one model, one text cache, and
prompts that are answered in their own words from the trial to the export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.dispatch import Dispatch, PlanSource
from autoprompt.controller.finalize import conclude
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.runner import create_search
from autoprompt.controller.stopping_rule import NoStopping
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.results import SearchResult
from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import State, Store
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Report
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import build_task
from autoprompt.workers.wording import Wording
from autoprompt.workers.workbench import Workbench
from tests.autoprompt.test_export import run_here
from tests.conftest import DEMO_TASK, write_yaml
from tests.tiny import TEXTS

QUIET = SearchProgress(quiet=True)
WORDS = {"positive": ("great", "bright"), "negative": ("dull",)}
SOFT = {
    "kind": "soft", "length": 2, "learning_rate": 0.05, "steps": 2, "batch_size": 4, "seed": 1,
    "init": "vocabulary", "position": "suffix",
}  # fmt: skip
HARD = {
    "kind": "hard", "tokens": 2, "start": "in short", "candidates": 4, "rounds": 4, "batch_size": 4,
    "seed": 1, "position": "suffix",
}  # fmt: skip

#: By number; the first asks as the task does, and the last two cannot be asked.
PLANS: list[dict[str, Any]] = [
    SOFT,
    SOFT | {"template": "Review: {text}\nAll in all"},
    HARD | {"template": "{text} It was", "label_words": WORDS, "calibration": "content_free"},
    SOFT | {"label_words": WORDS},
    SOFT | {"template": "{premise} so"},
    SOFT | {"label_words": {"yes": ("great",), "no": ("dull",)}},
]


class Fixed(PlanSource):
    """These plans, all of them side by side."""

    def __init__(self) -> None:
        self._trials = [
            {"number": number, "drawn_at": 0.0, "plan": plan, "params": {}, "distributions": {}}
            for number, plan in enumerate(PLANS)
        ]

    def draw(self, count: int) -> list[dict[str, Any]]:
        drawn, self._trials = self._trials, []
        return drawn

    def reported(self, report: Report) -> None: ...

    def failed(self, number: int) -> None: ...


@pytest.fixture
def result(tiny_config: dict[str, Any], tmp_path: Path) -> SearchResult:
    """A search of these plans, concluded."""
    tiny_config["search"] |= {"workers": 0, "trials": len(PLANS), "rungs": 1}
    tiny_config["ensemble"] = {"size": 4}
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    prepared, store = prepare(config, QUIET), Store.open(tiny_config["store"])
    search = create_search(prepared, store)
    executor = InProcessExecutor(1, QUIET)
    ledger = StoreWriter(store, search.id, QUIET)
    dispatch = Dispatch(Fixed(), NoStopping(), ledger, count=len(PLANS), together=len(PLANS))
    assert executor.run(dispatch, prepared.job, "wordings")
    conclude(prepared, store, search, executor, QUIET)
    store.finish_search(search.id, State.FINISHED)
    return autoprompt.load(str(search.id), db=tiny_config["store"])


def wording_of(plan: dict[str, Any]) -> Wording:
    return Wording.of(DEMO_TASK).reworded(plan.get("template"), plan.get("label_words"))


def alone(model: FrozenModel, record: Any, texts: list[str]) -> torch.Tensor:
    """What a prompt says of texts where its wording is all that is asked, [B, L]."""
    task = build_task(wording_of(PLANS[record.number]), model.tokenizer)
    scorer = Scorer(model, task, longest_prompt=4)
    return scorer.score_texts([Prompt.from_bytes(record.content)], texts)[0]


def test_one_worker_serves_them_and_every_later_reader_too(
    result: SearchResult, tiny_model: FrozenModel, tmp_path: Path
) -> None:
    trials = result.trials
    assert [trial.state for trial in trials] == ["complete"] * 4 + ["failed"] * 2
    assert sum(trial.models_loaded for trial in trials) == 1
    assert "the template reads the column 'premise', and the task's has text" in str(
        trials[4].error
    )
    assert "words for yes, no, and the labels are negative, positive" in str(trials[5].error)
    records = {record.number: record for record in result.prompts()}
    assert len({record.digest for record in records.values()}) == 4
    validation = [str(text) for text in result.config.splits().validation.texts]
    for number, record in records.items():
        assert Prompt.from_bytes(record.content).wording == wording_of(PLANS[number])
        stored = torch.tensor(result.answers.unpacked(record.log_probs))
        torch.testing.assert_close(stored, alone(tiny_model, record, validation), atol=1e-4, rtol=0)
    # Other words are other answers, and a vote counts each member in its own.
    texts = [row["text"] for row in TEXTS[::17]]
    members = result.ensemble.members
    log_probs = torch.stack([alone(tiny_model, record, texts) for record in members]).numpy()
    assert np.abs(log_probs[0] - log_probs[1]).max() > 1e-3
    voted = result.answers.voted(log_probs, result.ensemble.weights)
    predictions = result.ensemble.predict(texts)
    names = result.answers.names
    assert [prediction.label for prediction in predictions] == [names[label] for label in voted]
    # The test split was asked in the same words, and so are other texts and the exported folder.
    tested = result.config.splits().test
    own = [alone(tiny_model, record, list(map(str, tested.texts))).numpy() for record in members]
    scores = [float((rows.argmax(-1) == np.array(tested.labels)).mean()) for rows in own]
    assert result.test is not None
    assert [row["score"] for row in result.test["members"]] == pytest.approx(scores)
    folder = result.export(tmp_path / "out", ensemble=True)
    lines = run_here(folder / "predict.py", "--model", result.config.model.path, *texts)
    printed = [json.loads(line) for line in lines.splitlines()]
    assert [row["label"] for row in printed] == [prediction.label for prediction in predictions]
    assert [row["probability"] for row in printed] == pytest.approx(
        [prediction.probability for prediction in predictions], abs=1e-5
    )
    evaluated = result.evaluate(str(tmp_path / "texts.csv"), quiet=True)
    assert len(evaluated["members"]) == len(members)


def test_texts_that_are_the_same_tokens_are_encoded_once(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Two questions that begin alike share the cached texts: rows are keyed by tokens."""
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    bench = Workbench(prepare(config, QUIET).job)
    own, _, examples = bench.seat(plan_from_dict(PLANS[0]))
    encoded = bench.work().texts_encoded
    other, _, same = bench.seat(plan_from_dict(PLANS[1]))
    assert same.train == examples.train
    assert own is not other
    assert bench.work().texts_encoded == encoded
    assert bench.seat(plan_from_dict(PLANS[1]))[0] is other
    _, _, apart = bench.seat(plan_from_dict(PLANS[2]))
    assert apart.train != examples.train
    assert bench.work().texts_encoded > encoded
    assert bench.work().models_loaded == 1


def test_a_plan_says_only_what_it_changes() -> None:
    plain, reworded = plan_from_dict(PLANS[0]), plan_from_dict(PLANS[2])
    assert not {"template", "label_words"} & plain.model_dump().keys()
    assert not plain.rewords
    assert reworded.rewords
    assert plan_from_dict(json.loads(reworded.model_dump_json())) == reworded
    assert list(wording_of(PLANS[2]).label_words) == ["negative", "positive"]
    with pytest.raises(BadInputError, match="exactly once"):
        wording_of({"template": "no column"})
