"""A search of KV prompts from its configuration to what leaves the house."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import autoprompt
from autoprompt.api import load
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import AutopromptError, BadInputError, ConfigError
from autoprompt.workers.prompt import Prompt
from tests.autoprompt.test_export import ASKED, TOLERANCE, run_here, scorer_of, told, trial_of
from tests.conftest import DEMO_TASK, write_texts, write_yaml
from tests.tiny import save_tiny_bert, save_tiny_model, save_tiny_t5

KV = {
    "length": [2, 4],
    "init": ["vocabulary", "text"],
    "init_text": "in short",
    "learning_rate": 0.05,
    "steps": 6,
    "batch_size": 8,
    "position": ["end", "suffix", "prefix"],
    "calibration": ["none", "batch"],
}


def config_of(folder: Path, model: Path, **changes: Any) -> dict[str, Any]:
    write_texts(folder / "texts.csv")
    return {
        "name": "kv",
        "model": {"path": str(model), "dtype": "float32"},
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": DEMO_TASK.model_dump(),
        "space": {"kv": KV},
        "search": {"trials": 9, "workers": 0, "seed": 0, "rungs": 1, "cache_gib_on_disk": 0},
        "ensemble": {"size": 3},
    } | changes


@pytest.fixture(scope="module")
def url(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("kv")
    url = f"sqlite:///{folder / 'store.db'}"
    path = write_yaml(folder / "kv.yaml", config_of(folder, tiny_folder))
    autoprompt.search(path, db=url, quiet=True)
    return url


@pytest.fixture
def searched(url: str) -> SearchResult:
    return load(db=url)


def test_trials_at_every_place_are_stored_and_vote(searched: SearchResult) -> None:
    assert {trial.plan["position"] for trial in searched.leaderboard} == {"end", "suffix", "prefix"}
    assert {trial.kind for trial in searched.trials} == {"kv"}
    assert all(trial.state == "complete" for trial in searched.trials)
    labels = [prediction.label for prediction in searched.ensemble.predict(ASKED)]
    assert set(labels) <= {"negative", "positive"}
    assert searched.test is not None


@pytest.mark.parametrize("position", ["end", "suffix", "prefix"])
def test_the_exported_loader_says_what_the_search_says(
    position: str, searched: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    number = trial_of(searched, "kv", position)
    folder = searched.export(tmp_path / "out", trial=number)
    lines = run_here(folder / "predict.py", "--model", str(tiny_folder), *ASKED).splitlines()
    scorer = scorer_of(searched)
    [record] = searched.prompts([number])
    log_probs = scorer.score_texts([Prompt.from_bytes(record.content)], ASKED)[0]
    probabilities = told(folder, scorer, log_probs)
    for line, expected, probability in zip(lines, log_probs, probabilities, strict=True):
        row = json.loads(line)
        assert row["label"] == scorer.task.answers.names[int(expected.argmax())]
        assert row["probability"] == pytest.approx(probability, abs=TOLERANCE)


def test_peft_takes_one_before_the_text_as_prefix_tuning(
    searched: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    number = trial_of(searched, "kv", "prefix")
    folder = searched.export(tmp_path / "out", "peft", trial=number)
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(base, str(folder)).eval()
    assert "prefix" in str(model.active_peft_config.peft_type).lower()
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_folder)
    task = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["task"]
    scorer = scorer_of(searched)
    [record] = searched.prompts([number])
    prompt = Prompt.from_bytes(record.content).embedded(scorer.model)
    with torch.no_grad():
        ours = scorer.label_logits([prompt], scorer.tokenize(ASKED))[0]
        for text, expected in zip(ASKED, ours, strict=True):
            ids = torch.tensor([[*tokenizer(task["head"] + text).input_ids, *task["tail_ids"]]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
            wanted = logits[list(scorer.task.readout.starts)]
            torch.testing.assert_close(expected, wanted, atol=1e-4, rtol=0)
    lines = run_here(folder / "predict.py", "--model", str(tiny_folder), *ASKED).splitlines()
    said = scorer.score_texts([Prompt.from_bytes(record.content)], ASKED)[0]
    for line, probability in zip(lines, told(folder, scorer, said), strict=True):
        assert json.loads(line)["probability"] == pytest.approx(probability, abs=TOLERANCE)


def test_one_before_a_decoder_leaves_the_house_for_the_loader(tmp_path: Path) -> None:
    model_folder = save_tiny_t5(tmp_path / "t5")
    space = {"kv": KV | {"position": "decoder", "calibration": "none"}}
    config = config_of(tmp_path, model_folder, space=space)
    config["search"]["trials"] = 2
    result = autoprompt.search(write_yaml(tmp_path / "t5.yaml", config), quiet=True)
    scorer, number = scorer_of(result), result.best.number
    [record] = result.prompts([number])
    prompt = Prompt.from_bytes(record.content)
    expected = scorer.score_texts([prompt], ASKED)[0]
    folder = result.export(tmp_path / "json", trial=number)
    lines = run_here(folder / "predict.py", "--model", str(model_folder), *ASKED).splitlines()
    for line, probability in zip(lines, told(folder, scorer, expected), strict=True):
        assert json.loads(line)["probability"] == pytest.approx(probability, abs=TOLERANCE)
    with pytest.raises(BadInputError, match="layers PEFT gives rows in pairs; use --format json"):
        result.export(tmp_path / "peft", "peft", trial=number)


def test_peft_refuses_the_others_and_offers_the_best_it_can_hold(
    searched: SearchResult, tmp_path: Path
) -> None:
    other = trial_of(searched, "kv", "prefix")
    with pytest.raises(BadInputError, match=f"prefix tuning lays it before.*--trial {other}, the"):
        searched.export(tmp_path / "out", "peft", trial=trial_of(searched, "kv", "end"))


def test_it_is_explained_by_leaving_out_each_position(url: str, searched: SearchResult) -> None:
    number = trial_of(searched, "kv", "end")
    [trial] = [trial for trial in searched.trials if trial.number == number]
    command = ["explain", "latest", "--trial", str(number), "--db", url]
    ran = CliRunner().invoke(main, [*command, "--json"])
    explained = json.loads(ran.stdout)
    assert explained["score"] == pytest.approx(trial.score)
    assert [row["position"] for row in explained["positions"]] == list(
        range(1, trial.plan["length"] + 1)
    )
    [record] = searched.prompts([number])
    prompt, split = Prompt.from_bytes(record.content), searched.config.splits(0).validation
    scorer, labels = scorer_of(searched), torch.tensor(split.labels)
    log_probs = scorer.score_texts([prompt, prompt.without(1)], split.texts)
    whole, less = scorer.task.readout.surprise(log_probs, labels).mean(1).tolist()
    second = explained["positions"][1]
    assert second["more_loss"] == pytest.approx(less - whole, abs=1e-5)
    assert second["interval"][0] < second["more_loss"] < second["interval"][1]
    table = CliRunner().invoke(main, command).stdout
    assert f"Trial {number}, kv at end: accuracy {trial.score:.4f}" in table
    with pytest.raises(BadInputError, match="no prompt of a trial 99"):
        searched.explain(99)


def test_a_kv_prompt_may_start_others_of_its_kind_alone(
    url: str, tiny_folder: Path, searched: SearchResult, tmp_path: Path
) -> None:
    start = {"init": "prompt", "init_prompt": "kv", "position": "end"}
    again = config_of(tmp_path, tiny_folder, name="again", space={"kv": KV | start})
    again["search"]["trials"] = 2
    result = autoprompt.search(write_yaml(tmp_path / "again.yaml", again), db=url, quiet=True)
    assert all(trial.plan["init"] == "prompt" for trial in result.leaderboard)
    soft = {key: value for key, value in KV.items() if key != "position"} | start
    soft["position"] = "suffix"
    refused = config_of(tmp_path, tiny_folder, name="soft", space={"soft": soft})
    with pytest.raises(BadInputError, match="is a KV prompt, which only other KV prompts may"):
        autoprompt.search(write_yaml(tmp_path / "soft.yaml", refused), db=url, quiet=True)


@pytest.mark.parametrize(
    ("kv", "task", "words"),
    [
        (
            {"position": "both"},
            {},
            "kv.position: input should be 'end', 'suffix', 'prefix' or 'decoder', not 'both'",
        ),
        ({"position": "decoder"}, {}, "position decoder: .* is a causal model"),
        ({"position": "suffix"}, {"template": "{text}"}, "nothing stands behind the text"),
        ({"init": "uniform"}, {}, "init 'random'"),
    ],
)
def test_what_no_model_can_take_is_refused_before_anything_is_written(
    kv: dict[str, Any], task: dict[str, Any], words: str, tiny_folder: Path, tmp_path: Path
) -> None:
    config = config_of(tmp_path, tiny_folder, space={"kv": KV | kv})
    config["task"] = config["task"] | task
    refused(config, tmp_path, words)


def test_models_that_cannot_take_one_are_refused_by_name(tmp_path: Path) -> None:
    bert = save_tiny_bert(tmp_path / "bert")
    config = config_of(tmp_path, bert, space={"kv": KV | {"position": "end"}})
    config["task"]["template"] = "{text} It was {mask}."
    refused(config, tmp_path, "bert is a masked model, and KV prompts are for causal and")
    t5 = save_tiny_t5(tmp_path / "t5")
    config = config_of(tmp_path, t5, space={"kv": KV})
    refused(config, tmp_path, "t5 is a seq2seq model, which takes KV prompts at position decoder")
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    dynamic = save_tiny_model(tmp_path / "dynamic", rope_parameters=rope)
    config = config_of(tmp_path, dynamic)
    refused(config, tmp_path, "dynamic turns keys by angles that depend on the length")


def refused(config: dict[str, Any], folder: Path, words: str) -> None:
    store = folder / "store.db"
    with pytest.raises((AutopromptError, ConfigError), match=words):
        autoprompt.search(
            write_yaml(folder / "refused.yaml", config), db=f"sqlite:///{store}", quiet=True
        )
    assert not store.exists()


@pytest.mark.parametrize("window", [12, 40])
def test_a_windowed_model_takes_them_where_every_text_fits_its_window(
    window: int, tiny_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "sliding")
    described = json.loads((tiny_folder / "config.json").read_text(encoding="utf-8"))
    described |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    described["sliding_window"] = window
    (tmp_path / "sliding" / "config.json").write_text(json.dumps(described), encoding="utf-8")
    config = write_yaml(tmp_path / "kv.yaml", config_of(tmp_path, tmp_path / "sliding"))
    if window == 40:
        prepared = prepare(SearchConfig.read(config), SearchProgress(quiet=True))
        assert prepared.config.space.kinds == ("kv",)
        return
    with pytest.raises(BadInputError, match=r"see 12 tokens, which \d+ texts do not fit; leave kv"):
        prepare(SearchConfig.read(config), SearchProgress(quiet=True))
