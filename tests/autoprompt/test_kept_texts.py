"""A search says what it keeps of its texts and what a trial costs, and what it says is so."""

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from torch import Tensor

import autoprompt
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.controller.resume import prepare_again
from autoprompt.controller.runner import create_search
from autoprompt.preparation import kept_texts
from autoprompt.preparation.kept_texts import with_kept_texts
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.preparation.trial_tokens import trial_tokens
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import Store
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.reading_rate import reading_rate
from autoprompt.workers.text_states import KeysAndValues
from autoprompt.workers.tuners import Pack
from autoprompt.workers.workbench import Workbench
from tests.conftest import write_texts, write_yaml

QUIET = SearchProgress(quiet=True)

#: Bytes of a token's states in the tiny model: 2 layers of 2 groups of 8, keys and values, float32.
TOKEN = 2 * 2 * 2 * 8 * 4

SOFT = {"length": 3, "learning_rate": 0.05, "steps": 2, "batch_size": 4, "init": "vocabulary"}
KV = SOFT | {"position": "end"}
HARD = {"tokens": 2, "start": "in short", "candidates": 4, "rounds": 2, "batch_size": 4}


def prepared_with(config: dict[str, Any], tmp_path: Path, **search: Any) -> Prepared:
    config["search"] |= search
    return prepare(SearchConfig.read(write_yaml(tmp_path / "search.yaml", config)), QUIET)


def told(prepared: Prepared) -> tuple[Prepared, str]:
    log = StringIO()
    kept = with_kept_texts(prepared, True, SearchProgress(Console(file=log, width=1000)))
    return kept, log.getvalue()


def with_room(prepared: Prepared, tokens_at_hand: int, tokens_on_disk: int, tmp: Path) -> Prepared:
    cache = replace(
        prepared.job.cache,
        bytes_at_hand=tokens_at_hand * TOKEN,
        bytes_on_disk=tokens_on_disk * TOKEN,
        folder=str(tmp),
    )
    return replace(prepared, job=replace(prepared.job, cache=cache))


def test_what_is_said_is_stored_and_shown(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["search"] |= {"trials": 1, "rungs": 1}
    result = autoprompt.search(SearchConfig.read(write_yaml(tmp_path / "s.yaml", tiny_config)))
    versions = result.record.versions
    assert versions["texts"].startswith("40 of ")
    assert versions["texts"].endswith(" all in memory")
    assert versions["trial"].startswith("soft ")
    assert "; hard " in versions["trial"]
    shown = CliRunner().invoke(main, ["show", "latest", "--db", tiny_config["store"]])
    told = shown.stdout.replace("\n", " ")
    assert f"texts: {versions['texts']}" in told
    assert "a trial: soft " in told


def test_where_texts_are_is_where_a_worker_puts_them(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_texts, "reading_rate", lambda folder: 1e12)
    prepared = prepared_with(tiny_config, tmp_path)
    tokens = sum(prepared.texts.train + prepared.texts.validation)
    prepared = with_room(prepared, tokens // 2, tokens // 3, tmp_path)
    kept, said = told(prepared)
    bench = Workbench(kept.job)
    bench.seat(plan_from_dict(SOFT | {"kind": "soft", "seed": 0, "position": "suffix"}))
    assert bench._scorer is not None
    places = bench._scorer.cache._places
    words = {"hand": "in memory", "disk": "read from disk", "nowhere": "computed each time"}
    for place, word in words.items():
        own = [len(text.ids) for text, at in places.items() if at == place]
        assert own
        assert f"{len(own)} ({sum(own) * TOKEN / 1024:.1f} KiB) {word}" in said


@pytest.mark.parametrize("reads", [1.0, 1e15], ids=["slow disk", "fast disk"])
def test_a_disk_slower_than_computing_is_left_out_for_good(
    reads: float, tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_texts, "reading_rate", lambda folder: reads)
    prepared = prepared_with(tiny_config, tmp_path, cache_gib_on_disk=1)
    tokens = sum(prepared.texts.train + prepared.texts.validation)
    kept, said = told(with_room(prepared, tokens // 2, 1 << 20, tmp_path))
    slow = reads == 1.0
    assert ("none on disk, which reads 1 B a second" in said) == slow
    assert ("read from disk" in said) == (not slow)
    assert (kept.job.cache.bytes_on_disk == 0) == slow

    def measured_again(folder: Path) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(kept_texts, "reading_rate", measured_again)
    search = create_search(kept, Store.open(tiny_config["store"]))
    again = prepare_again(search, tiny_config["store"], None, QUIET)
    assert (again.job.cache.bytes_on_disk == 0) == slow


def test_nothing_is_measured_where_all_texts_fit_in_memory(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(folder: Path) -> float:
        raise AssertionError("measured")

    monkeypatch.setattr(kept_texts, "reading_rate", measured)
    _, said = told(prepared_with(tiny_config, tmp_path, cache_gib_on_disk=1))
    assert "all in memory, and in files for other workers and later searches" in said


def test_a_folder_is_read_at_some_rate_and_one_that_cannot_be_made_at_none(tmp_path: Path) -> None:
    assert reading_rate(tmp_path / "new") > 0
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    assert reading_rate(tmp_path / "file") == 0


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("soft", SOFT | {"position": "suffix"}),
        ("soft", SOFT | {"position": "end"}),
        ("soft", SOFT | {"position": "prefix"}),
        ("kv", KV),
        ("kv", KV | {"position": "suffix"}),
        ("kv", KV | {"position": "prefix"}),
        ("hard", HARD | {"position": "suffix"}),
    ],
)
def test_a_step_and_a_judging_push_as_many_tokens_through_the_model_as_was_said(
    kind: str,
    part: dict[str, Any],
    tiny_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted in the model itself, over texts of one length, so that none is padding."""
    rows = [
        {"text": f"the film is a joy {number}", "label": label}
        for number, label in zip(range(10, 70), ["positive", "negative"] * 30, strict=True)
    ]
    tiny_config["space"] = {kind: part}
    write_texts(tmp_path / "texts.csv", rows)
    prepared = prepared_with(tiny_config, tmp_path, rungs=1)
    assert len(set(prepared.texts.train + prepared.texts.validation)) == 1
    expected = trial_tokens(prepared.config.space, prepared.texts)[kind]

    job = prepared.job
    plan = plan_from_dict({**part, "kind": kind, "seed": 0})
    bench = Workbench(job)
    scorer, _, examples = bench.seat(plan)
    scorer.family.trusts_cache(examples.train)
    pushed: list[int] = []
    honest = FrozenModel.logits

    def counting(self: FrozenModel, keep: Tensor, **arguments: Any) -> Tensor:
        count, tokens = arguments["inputs_embeds"].shape[:2]
        pushed.append(count * tokens)
        return honest(self, keep, **arguments)

    def uncounted(self: KeysAndValues, *arguments: Any) -> Any:
        # What a KV prompt starts from, once.
        before = len(pushed)
        states = reading(self, *arguments)
        del pushed[before:]
        return states

    reading = KeysAndValues._read
    with monkeypatch.context() as patched:
        patched.setattr(FrozenModel, "logits", counting)
        patched.setattr(KeysAndValues, "_read", uncounted)
        pack = Pack({0: plan}, scorer, examples, fractions=(1.0,))
        pack._judge = lambda: []  # type: ignore[method-assign]
        while not pack._at_rung():
            pack._advance()
        steps = sum(pushed) / plan.budget
        pushed.clear()
        [request] = pack._at_rung().values()
        scorer.log_probs([request.prompt], examples.validation)
        judging = sum(pushed)
    most = expected.step[1]
    # Swaps that would not read back as themselves are not tried.
    assert steps == most if kind != "hard" else expected.step[0] / 2 < steps <= most
    front = part["length"] if part.get("position") == "prefix" and kind == "soft" else 0
    # A finished prompt before the text is read once for all texts.
    assert judging == expected.judging[1] - front * (len(examples.validation) - 1)


def test_texts_that_are_computed_each_time_are_in_what_a_trial_costs(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    """Where nothing is kept, each text that is trained on or judges is computed once more."""
    tiny_config["space"] = {"soft": SOFT | {"position": "suffix"}}
    prepared = prepared_with(tiny_config, tmp_path)
    texts = prepared.texts
    kept = kept_texts.kept_texts(with_room(prepared, 0, 0, tmp_path))
    assert kept is not None
    assert kept.anew == (sum(texts.train), sum(texts.validation))
    free = trial_tokens(prepared.config.space, texts)["soft"]
    whole = trial_tokens(prepared.config.space, texts, *kept.anew)["soft"]
    batch = SOFT["batch_size"]
    assert whole.step[0] - free.step[0] == round(batch * sum(texts.train) / len(texts.train))
    assert whole.judging[0] - free.judging[0] == sum(texts.validation)


def test_memory_that_does_not_hold_a_batch_is_refused(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    prepared = prepared_with(tiny_config, tmp_path)
    batch = sum(sorted(prepared.texts.train)[-4:])
    told(with_room(prepared, batch, 0, tmp_path))
    with pytest.raises(BadInputError, match=r"a batch of 4 texts may take .* allow 0\.001 or more"):
        told(with_room(prepared, batch - 1, 0, tmp_path))
