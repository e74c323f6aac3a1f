"""Score against what a prompt costs each text: tokens are counted as the model reads them, and the
front is what no cheaper prompt matches."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import autoprompt
from autoprompt.cli import main
from autoprompt.reporting.report import render
from autoprompt.results import SearchResult
from autoprompt.store import State, Store
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.prompt_tokens import tokens_beside
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.task import Task, TaskSpec
from tests.autoprompt.test_store import search_fields
from tests.conftest import DEMO_TASK, write_yaml

#: Trials by number: kind, oriented score, tokens and length; None where a version did not count.
TRIALS = [
    ("hard", 0.60, 12, 0),
    ("hard", 0.55, 14, 0),
    ("kv", 0.80, 12, 8),
    ("soft", 0.80, 30, 20),
    ("soft", 0.90, 28, 18),
    ("mixed", 0.95, 40, 20),
    ("soft", 0.99, None, 5),
]


def stored(db: str, trials: Sequence[tuple[str, float, int | None, int]], **fields: Any) -> Store:
    store = Store.open(db)
    search = store.create_search(**search_fields() | fields)
    for number, (kind, score, tokens, length) in enumerate(trials):
        plan = {"kind": kind, "length": length}
        store.start_trial(search.id, number, kind=kind, plan=plan, params={}, distributions={})
        rung = {"rung": 1, "step": 1, "score": score, "loss": 0.5, "train_loss": 0.5, "seconds": 1}
        prompt = {"digest": str(number), "text": "p", "content": b"", "log_probs": b""}
        store.record_rung(search.id, number, rung, prompt | {"tokens": tokens}, {})
        store.finish_trial(search.id, number, State.COMPLETE)
    return store


def front(result: SearchResult) -> list[tuple[int, int]]:
    return [(row["trial"], row["tokens"]) for row in result.pareto]


def test_the_front_is_what_no_cheaper_trial_matches(db: str) -> None:
    store = stored(db, TRIALS, data={"train": 1, "text_tokens": 50.5})
    result = autoprompt.load(db=db)
    assert front(result) == [(2, 12), (4, 28), (5, 40)]
    assert result.pareto[0] == {
        "trial": 2, "kind": "kv", "score": 0.8, "tokens": 12, "rows": 8, "input_tokens": 62.5,
    }  # fmt: skip
    assert [trial.tokens for trial in result.trials] == [tokens for _, _, tokens, _ in TRIALS]
    store.close()


def test_where_less_is_better_the_front_falls(db: str) -> None:
    trials = [(kind, -score, tokens, length) for kind, score, tokens, length in TRIALS]
    stored(db, trials, greater_is_better=False).close()
    result = autoprompt.load(db=db)
    assert [(row["trial"], row["score"]) for row in result.pareto] == [(0, 0.6), (1, 0.55)]
    assert result.pareto[0]["input_tokens"] is None


def test_a_trial_that_failed_or_was_not_judged_by_all_is_not_on_it(db: str) -> None:
    store = stored(db, TRIALS[:1])
    store.fail_trial(1, 0, "boom")
    store.close()
    assert autoprompt.load(db=db).pareto == []


def test_it_is_shown_where_there_is_more_than_one_point(db: str) -> None:
    stored(db, TRIALS).close()
    shown = CliRunner().invoke(main, ["show", "latest", "--db", db])
    assert shown.exit_code == 0, shown.output
    assert "Worth their tokens" in shown.output
    printed = json.loads(CliRunner().invoke(main, ["show", "latest", "--db", db, "--json"]).stdout)
    assert printed["pareto"] == autoprompt.load(db=db).pareto
    assert printed["best"]["tokens"] is None

    stored(db, TRIALS[:2], name="two").close()
    assert "Worth" not in CliRunner().invoke(main, ["show", "two", "--db", db]).output


def test_tokens_are_those_that_the_model_reads(tiny_task: Task) -> None:
    """Counted by taking a whole input's apart: the template, the prompt, nothing of the text."""
    task, tokenizer = tiny_task, tiny_task.question.tokenizer
    words = "good bad good"
    whole = len(tokenizer(DEMO_TASK.template.replace("{text}", words)).input_ids)
    alone = len(tokenizer(words, add_special_tokens=False).input_ids)
    assert tokens_beside(Prompt(""), task) == whole - alone
    hard = Prompt("x", (5, 6, 7))
    soft = Prompt("y", vectors=torch.zeros(4, 2))
    rows = Prompt("z", rows=torch.zeros(9, 1, 2, 1, 2))
    beside = [tokens_beside(prompt, task) - (whole - alone) for prompt in (hard, soft, rows)]
    assert beside == [3, 4, 0]


def test_a_search_stores_them_and_its_report_draws_the_front(
    tiny_config: dict[str, Any], tmp_path: Any
) -> None:
    tiny_config["search"] |= {"trials": 3, "rungs": 1, "workers": 0}
    result = autoprompt.search(write_yaml(tmp_path / "search.yaml", tiny_config), quiet=True)
    scorer = load_scorer(
        ModelSpec(path=tiny_config["model"]["path"]), TaskSpec(**tiny_config["task"]), 8
    )
    for trial, prompt in zip(result.leaderboard, result.prompts(), strict=True):
        assert trial.tokens == tokens_beside(Prompt.from_bytes(prompt.content), scorer.task)
    assert result.pareto
    assert result.pareto[-1]["score"] == result.direction.best(t.score for t in result.leaderboard)
    inputs = scorer.tokenize(result.config.splits(result.record.seed).validation.texts)
    mean = sum(map(len, inputs)) / len(inputs)
    rest = tokens_beside(Prompt(""), scorer.task) - len(scorer.task.question.tail_ids)
    assert result.record.data["text_tokens"] == pytest.approx(mean - rest, abs=0.06)
    assert 'id="tokens"' in render(result)
