"""An export holds all that its readers need: PEFT, the plain loader, and a person."""

import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import save
from transformers import AutoModelForCausalLM, AutoTokenizer

import autoprompt
from autoprompt.api import load
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.ensemble.stacking import stacked_vote
from autoprompt.results import SearchResult
from autoprompt.store import Store
from autoprompt.workers.combination import Combination
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_identity import model_identity
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.prompt import Prompt, soft_prompt
from autoprompt.workers.recalibration import Recalibration, recalibration
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from benchmarks.many_trials import VERSIONS
from tests.conftest import write_yaml
from tests.tiny import TEXTS, save_tiny_bart, save_tiny_bert, save_tiny_model, save_tiny_t5

ASKED = [row["text"] for row in TEXTS[::17]]
TOLERANCE = 1e-5


def run(code: Path, *arguments: str) -> str:
    """What a script prints, run by itself: its own folder alone is on its path."""
    command = [sys.executable, "-E", "-s", str(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def told(folder: Path, scorer: Scorer, log_probs: torch.Tensor) -> list[float]:
    """[B], the probability of each text's label, as a folder says that it is recalibrated.

    Args:
        log_probs: [B, L], of its one prompt.
    """
    vote = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["vote"]
    said = log_probs.numpy()
    rows = Combination.from_dict(vote).probabilities(scorer.task.answers, said[None])
    return [float(row[label]) for row, label in zip(rows, said.argmax(-1), strict=True)]


def refusal(code: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a script ends."""
    with pytest.raises(SystemExit) as ended:
        run_here(code, *arguments)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def run_here(code: Path, *arguments: str) -> str:
    """What a script prints, run in this process, which has its libraries loaded."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(sys, "argv", [str(code), *arguments])
        patch.syspath_prepend(code.parent)
        for module in ("answers", "inputs"):
            patch.delitem(sys.modules, module, raising=False)
        runpy.run_path(str(code))
    return printed.getvalue()


def scorer_of(result: SearchResult) -> Scorer:
    config = SearchConfig.model_validate(result.record.config)
    return load_scorer(config.model, config.task, config.space.longest_prompt())


def trial_of(result: SearchResult, kind: str, position: str) -> int:
    return next(
        trial.number
        for trial in result.leaderboard
        if trial.kind == kind and trial.plan["position"] == position
    )


@pytest.mark.parametrize(
    ("kind", "position"),
    [("soft", "suffix"), ("soft", "prefix"), ("hard", "suffix"), ("hard", "prefix")],
)
def test_the_loader_in_the_folder_says_what_the_search_says(
    kind: str, position: str, finished: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    number = trial_of(finished, kind, position)
    folder = finished.export(tmp_path / "out", trial=number)
    lines = run_here(folder / "predict.py", "--model", str(tiny_folder), *ASKED).splitlines()
    printed = [json.loads(line) for line in lines]
    assert [row["text"] for row in printed] == ASKED
    scorer = scorer_of(finished)
    [record] = finished.prompts([number])
    log_probs = scorer.score_texts([Prompt.from_bytes(record.content)], ASKED)[0]
    probabilities = told(folder, scorer, log_probs)
    own = recalibration(finished.answers.unpacked(record.log_probs), finished.validation_labels)
    vote = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["vote"]
    assert vote["joint"]["biases"] == pytest.approx(list(own.biases))
    for row, expected, probability in zip(printed, log_probs, probabilities, strict=True):
        assert row["label"] == scorer.task.answers.names[int(expected.argmax())]
        assert row["probability"] == pytest.approx(probability, abs=TOLERANCE)


def test_the_ensemble_votes_as_it_does_in_the_search(
    finished: SearchResult, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished.export(tmp_path / "out", ensemble=True)
    exported = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["prompts"]
    assert [each["trial"] for each in exported] == finished.record.ensemble["members"]  # type: ignore[index]
    monkeypatch.setenv("AUTOPROMPT_MODEL", str(tiny_folder))
    printed = [json.loads(line) for line in run(folder / "predict.py", *ASKED).splitlines()]
    for row, expected in zip(printed, finished.ensemble.predict(ASKED), strict=True):
        assert (row["label"], row["votes"]) == (expected.label, pytest.approx(expected.votes))
        assert row["probability"] == pytest.approx(expected.probability, abs=TOLERANCE)


@pytest.mark.parametrize("vote", ["mean", "stacked"])
def test_other_votes_leave_the_house_for_the_loader(
    vote: Any, finished: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = finished.export(tmp_path / "out", ensemble=True)
    members, labels = finished.ensemble.members, finished.validation_labels
    said = np.stack([finished.answers.unpacked(member.log_probs) for member in members])
    rule = Combination(vote, (1.0,) * len(said), joint=Recalibration(0.7, (0.2, -0.2)))
    if vote == "mean":
        rule = replace(rule, members=tuple(recalibration(own, labels) for own in said))
    else:
        rule = replace(rule, stack=stacked_vote(said, labels))
    document = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    threshold = {"threshold": 0.6}
    written = json.dumps(document | {"vote": rule.as_dict(), "abstain": threshold})
    (folder / "prompt.json").write_text(written, encoding="utf-8")
    prompts = [Prompt.from_bytes(member.content) for member in members]
    log_probs = scorer_of(finished).score_texts(prompts, ASKED).numpy()
    rows = rule.probabilities(finished.answers, log_probs)
    chosen = rule.voted(finished.answers, log_probs)
    lines = run_here(folder / "predict.py", "--model", str(tiny_folder), *ASKED).splitlines()
    for line, row, label in zip(map(json.loads, lines), rows, chosen, strict=True):
        assert line["probability"] == pytest.approx(row[label], abs=TOLERANCE)
        assert line["label"] == (finished.answers.names[label] if row[label] >= 0.6 else None)
    assert None in {json.loads(line)["label"] for line in lines} or rows.max(-1).min() >= 0.6


def test_peft_loads_the_folder_and_gives_the_same_logits(
    finished: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    number = trial_of(finished, "soft", "prefix")
    folder = finished.export(tmp_path / "out", "peft", trial=number)
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(base, str(folder)).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_folder)
    task = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))["task"]
    first = [word["ids"][0] for word in task["words"]]
    scorer = scorer_of(finished)
    [record] = finished.prompts([number])
    prompt = Prompt.from_bytes(record.content).embedded(scorer.model).front
    for text in ASKED:
        ids = torch.tensor([[*tokenizer(task["head"] + text).input_ids, *task["tail_ids"]]])
        with torch.no_grad():
            theirs = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
            rows = scorer.model.embed(ids[0])
            plain = base(inputs_embeds=torch.cat([prompt, rows])[None]).logits[0, -1]
        torch.testing.assert_close(theirs, plain, atol=TOLERANCE, rtol=0)
        assert not torch.allclose(theirs[first], base(input_ids=ids).logits[0, -1, first])


def made_search(
    model: Path, template: str, prompt: Prompt, db: Path, adapter: Path | None = None
) -> SearchResult:
    """A search of one trial, whose prompt is made up."""
    store = Store.open(f"sqlite:///{db}")
    spec = ModelSpec(path=str(model), adapter=adapter and str(adapter))
    position = prompt.position
    store.create_search(
        name="made",
        model=str(model),
        metric="accuracy",
        seed=0,
        config={
            "model": {
                "path": str(model),
                "dtype": "float32",
                "adapter": adapter and str(adapter),
            },
            "data": {"path": "none.csv"},
            "task": {"template": template, "label_words": {"no": "dull", "yes": "great"}},
            "space": {
                "soft": {"length": 3, "learning_rate": 0.1, "steps": 1, "position": position}
            },
        },
        versions=dict.fromkeys(VERSIONS, "-") | {"model": model_identity(spec)},
        data={"train": 1, "validation": 1, "test": 1, "truncated": 0},
        validation_labels=[0],
        ensemble=None,
    )
    plan = {"kind": "soft", "position": position}
    store.start_trial(1, 0, kind="soft", plan=plan, params={}, distributions={})
    store.record_rung(
        1,
        0,
        {"rung": 0, "step": 1, "score": 1.0, "loss": 0.0, "train_loss": 0.0, "seconds": 1.0},
        {"digest": "0", "text": "made", "content": prompt.to_bytes()}
        | {"log_probs": save({"log_probs": torch.zeros(1, 2)})},
        {},
    )
    return load("made", db=f"sqlite:///{db}")


def test_a_tree_of_words_is_searched_stored_and_voted_on_and_its_export_says_the_same(
    tiny_config: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    words = {"negative": ["a mess", "far too long"], "positive": ["a joy", "great", "far"]}
    config = tiny_config | {"task": tiny_config["task"] | {"label_words": words}}
    config["task"]["label_scoring"] = "tree"
    config["search"] |= {"trials": 4, "rungs": 1}
    config["space"]["soft"]["calibration"] = "batch"
    config["space"]["hard"]["position"] = ["prefix", "suffix"]
    config["space"]["hard"]["calibration"] = ["none", "content_free"]
    path = tmp_path / "tree.yaml"
    write_yaml(path, config)
    refused = CliRunner().invoke(main, ["search", str(path)])
    assert refused.exit_code == 2
    [line] = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    assert not (tmp_path / "store.db").exists(), "something had begun"
    assert "task.label_words: 'far too long' (negative) goes on where 'far' (positive) ends" in line
    assert line.endswith("choose other words, or set task.label_scoring to mean")

    words["positive"].remove("far")
    result = autoprompt.search(write_yaml(path, config), quiet=True)
    assert scorer_of(result).task.readout.branches
    for record in result.prompts():
        prompt, wording = Prompt.from_bytes(record.content), result.record.config["task"]
        assert prompt.wording is not None
        assert prompt.wording.label_scoring == wording["label_scoring"] == "tree"
        log_probs = result.answers.unpacked(record.log_probs)
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, atol=1e-5)
    folder = result.export(tmp_path / "out", ensemble=True)
    lines = run_here(folder / "predict.py", "--model", str(tiny_folder), *ASKED).splitlines()
    for row, expected in zip(map(json.loads, lines), result.ensemble.predict(ASKED), strict=True):
        assert (row["label"], row["votes"]) == (expected.label, pytest.approx(expected.votes))
        assert row["probability"] == pytest.approx(expected.probability, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("make", "template", "position"),
    [
        (save_tiny_t5, "Review: {text}", "decoder"),
        (save_tiny_t5, "Review: {text}", "prefix"),
        (save_tiny_bart, "Review: {text}", "suffix"),
        (save_tiny_model, "Review: {text}\nSentiment:", "end"),
        (save_tiny_t5, "Review: {text} Sentiment:", "end"),
        (save_tiny_bert, "{text} It was {mask}.", "both"),
        (save_tiny_bert, "{text} It was {mask}.", "end"),
        (save_tiny_bert, "{mask}: {text}", "end"),
        (save_tiny_bert, "{mask}: {text}", "prefix"),
    ],
)
def test_every_family_of_models_is_loaded_as_it_was_searched(
    make: Callable[[Path], Path], template: str, position: Any, tmp_path: Path
) -> None:
    model = load_model(ModelSpec(path=str(make(tmp_path / "model")), dtype="float32"))
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(3, model.hidden_size, generator=generator)
    prompt = soft_prompt(vectors, position, model)
    result = made_search(tmp_path / "model", template, prompt, tmp_path / "store.db")
    folder = result.export(tmp_path / "out")
    model_at = ("--model", str(tmp_path / "model"))
    lines = run_here(folder / "predict.py", *model_at, *ASKED).splitlines()
    printed = [json.loads(line) for line in lines]
    scorer = scorer_of(result)
    expected = scorer.score_texts([prompt], ASKED)[0]
    for row, probability in zip(printed, told(folder, scorer, expected), strict=True):
        assert row["probability"] == pytest.approx(probability, abs=TOLERANCE)
    if (model.family, position) != ("seq2seq", "prefix"):
        with pytest.raises(ValueError, match="--format json"):
            result.export(tmp_path / "peft", "peft")
        return
    adapter = result.export(tmp_path / "peft", "peft")
    [code] = re.findall(r"```python\n(.*?)```", (adapter / "README.md").read_text(), re.S)
    (tmp_path / "card.py").write_text(code, encoding="utf-8")
    for text, each in zip(ASKED, expected, strict=True):
        lines = run_here(
            tmp_path / "card.py", str(tmp_path / "model"), str(adapter), text
        ).splitlines()
        logits = torch.tensor([float(line.split()[1]) for line in lines])
        torch.testing.assert_close(logits.log_softmax(-1), each, atol=TOLERANCE, rtol=0)


def test_the_loader_asks_where_the_model_is(
    finished: SearchResult, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished.export(tmp_path / "out")
    exported = json.loads((folder / "prompt.json").read_text(encoding="utf-8"))
    assert exported["version"] == 5
    assert exported["model"]["name"] == tiny_folder.name
    assert exported["model"]["fingerprint"] == finished.record.versions["model"]
    line = refusal(folder / "predict.py", capsys, ASKED[0])
    assert line == f"Error: --model PATH: say where the model {tiny_folder.name} is"


def test_the_models_adapter_is_asked_for_and_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    base, lora = save_tiny_model(tmp_path / "model"), tmp_path / "lora"
    torch.manual_seed(0)
    config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=4, init_lora_weights=False)
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(plain, config).save_pretrained(lora)
    model = load_model(ModelSpec(path=str(base), adapter=str(lora), dtype="float32"))
    vectors = torch.randn(2, model.hidden_size, generator=torch.Generator().manual_seed(1))
    prompt = soft_prompt(vectors, "prefix", model)
    template = "Review: {text}\nSentiment:"
    result = made_search(base, template, prompt, tmp_path / "store.db", lora)
    folder, model_at = result.export(tmp_path / "out"), ("--model", str(base))
    loader = folder / "predict.py"
    line = refusal(loader, capsys, *model_at, ASKED[0])
    assert line == "Error: --adapter FOLDER: say where the adapter lora is"
    [answer] = run_here(loader, *model_at, "--adapter", str(lora), ASKED[0]).splitlines()
    scorer = scorer_of(result)
    expected = scorer.score_texts([prompt], ASKED[:1])[0]
    assert [json.loads(answer)["probability"]] == pytest.approx(
        told(folder, scorer, expected), abs=TOLERANCE
    )

    adapter = result.export(tmp_path / "peft", "peft")
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "model with the adapter lora"
    [code] = re.findall(r"```python\n(.*?)```", (adapter / "README.md").read_text(), re.S)
    (tmp_path / "card.py").write_text(code, encoding="utf-8")
    places = (str(base), str(lora), str(adapter))
    lines = run_here(tmp_path / "card.py", *places, ASKED[0]).splitlines()
    logits = torch.tensor([float(line.split()[1]) for line in lines])
    torch.testing.assert_close(logits.log_softmax(-1), expected[0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("form", "ensemble"), [("json", True), ("json", False), ("peft", False), ("tokens", False)]
)
def test_no_file_of_an_export_says_where_things_lie(
    form: Any, ensemble: bool, finished: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    number = None if ensemble else trial_of(finished, "soft", "prefix")
    folder = finished.export(tmp_path / "out", form, trial=number, ensemble=ensemble)
    roots = {str(tmp_path.parents[1]), str(Path.home()), str(tiny_folder.parents[1])}
    assert str(finished.record.config["data"]["path"]).startswith(str(tmp_path.parents[1]))
    for file in folder.iterdir():
        content = file.read_bytes()
        assert [root for root in roots if root.encode() in content] == [], file.name
    assert "`texts.csv`" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_cards_own_peft_code_runs(
    finished: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    number = trial_of(finished, "soft", "prefix")
    folder = finished.export(tmp_path / "out", "peft", trial=number)
    card = (folder / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", card, re.S)
    (tmp_path / "card.py").write_text(code, encoding="utf-8")
    printed = run_here(tmp_path / "card.py", str(tiny_folder), str(folder), ASKED[0])
    logits = {line.split()[0]: float(line.split()[1]) for line in printed.splitlines()}
    assert logits.keys() == {"negative", "positive"}


def test_the_card_says_where_the_numbers_came_from(finished: SearchResult, tmp_path: Path) -> None:
    folder = finished.export(tmp_path / "out", ensemble=True)
    card = (folder / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "text-classification"
    header = ModelCard.load(folder / "README.md").data
    assert header.model_name == finished.name
    [score] = header.eval_results or ()
    assert finished.test is not None
    assert score.metric_value == pytest.approx(finished.test["ensemble"]["score"])
    assert (score.metric_type, score.dataset_name, score.dataset_split) == (
        "accuracy", "texts.csv", "test",
    )  # fmt: skip
    versions = finished.record.versions
    assert finished.test is not None
    [probe] = [row for row in finished.baselines if row["name"] == "linear_probe"]
    assert f"| linear probe | {probe['score']:.4f} | {probe['low']:.4f} - " in card
    assert finished.verdicts
    for fact in (
        *finished.verdicts,
        finished.name,
        versions["data"],
        versions["model"],
        f"{finished.ensemble.validation:.4f}",
        f"{finished.test['ensemble']['low']:.4f} - {finished.test['ensemble']['high']:.4f}",
        finished.test["ensemble"]["method"],
        "## Licence",
        *(str(member.number) for member in finished.ensemble.members),
    ):
        assert fact in card


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


def test_the_command_writes_and_lists_the_folder(
    finished: SearchResult, finished_db: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = call(
        "export", "latest", "--format", "json", "--ensemble", "--out", str(out), "--db", finished_db
    )
    assert result.exit_code == 0, result.output
    assert sorted(result.stdout.split()) == sorted(str(file) for file in out.iterdir())
    files = {"README.md", "answers.py", "inputs.py", "predict.py", "prompt.json"}
    assert {file.name for file in out.iterdir()} >= files
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    finished: SearchResult, finished_db: str, tmp_path: Path
) -> None:
    def ask(*options: str, out: Path = tmp_path / "out") -> Result:
        return call("export", "latest", *options, "--out", str(out), "--db", finished_db)

    prefix = trial_of(finished, "soft", "prefix")
    suffix = str(trial_of(finished, "soft", "suffix"))
    hard = str(trial_of(finished, "hard", "suffix"))
    refused(
        ask("--format", "peft", "--trial", suffix),
        "after the text", "--format json", f"--trial {prefix}",
    )  # fmt: skip
    refused(ask("--format", "peft", "--trial", hard), "hard prompt", "--format json")
    refused(ask("--format", "peft", "--ensemble"), "one prompt", "--format json")
    refused(ask("--format", "json", "--trial", "99"), "--trial 99", "autoprompt trials")
    refused(ask("--format", "json", "--trial", "1", "--ensemble"), "choose one")
    refused(ask("--format", "json", out=tmp_path / "none" / "out"), "no folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    refused(ask("--format", "json", out=tmp_path / "mine"), "mine: exists")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_model_that_moved_or_changed(finished_db: str, tiny_folder: Path, tmp_path: Path) -> None:
    moved = load(db=finished_db)
    record = moved.record
    elsewhere = record.config | {"model": record.config["model"] | {"path": str(tmp_path / "no")}}
    moved.record = type(record)(**vars(record) | {"config": elsewhere})
    with pytest.raises(ValueError, match="no such file or folder"):
        moved.export(tmp_path / "out")
    shutil.copytree(tiny_folder, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    changed = record.config | {"model": record.config["model"] | {"path": str(tmp_path / "model")}}
    moved.record = type(record)(**vars(record) | {"config": changed})
    with pytest.raises(ValueError, match="not the one that search"):
        moved.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ones_own_kind_of_answers_is_refused(finished: SearchResult, tmp_path: Path) -> None:
    record = finished.record
    task = record.config["task"] | {"answers": "mine:Grades"}
    config = record.config | {"task": task}
    finished.record = type(record)(**vars(record) | {"config": config})
    with pytest.raises(ValueError, match=r"knows label_words, .*, spans, not mine:Grades; label"):
        finished.export(tmp_path / "out", trial=0)
    assert not (tmp_path / "out").exists()
