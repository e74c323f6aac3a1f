"""Resume: whatever killed the controller, and whenever, the search goes on as it would have."""

import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller import lease
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.resume import Past, prepare_again, settle
from autoprompt.controller.runner import create_search, trial_dispatch
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces import Space
from autoprompt.search_spaces.errors import BadInputError, ConfigError, DataError, ModelError
from autoprompt.search_spec import SearchSpec
from autoprompt.store import Store
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.old_identity import old_identity
from benchmarks.curves import Curves
from benchmarks.virtual_cluster import VirtualCluster
from tests.autoprompt.test_store import search_fields
from tests.conftest import DEMO_TASK, write_texts, write_yaml
from tests.tiny import TEXTS

QUIET = SearchProgress(quiet=True)


class KilledError(BaseException):
    """What no `except Exception` stops, as SIGKILL."""


@pytest.fixture
def curves() -> Curves:
    """Made-up curves: what soft prompts gain depends on their length."""
    trials = [
        {"kind": "soft", "params": {"soft.length": length}, "rungs": rungs(length / 16)}
        for length in (1, 4, 8, 16)
    ]
    trials.append({"kind": "hard", "params": {"hard.tokens": 4}, "rungs": rungs(0.5)})
    return Curves(tuple(trials))


def rungs(best: float) -> list[dict[str, Any]]:
    return [
        {"rung": rung, "step": step, "score": best - 0.1 * (3 - rung), "loss": 1 - best}
        | {"train_loss": 0.5, "seconds": 1.0}
        for rung, step in ((1, 1), (2, 2), (3, 4))
    ]


def open_store(path: Path) -> Store:
    return Store.open(f"sqlite:///{path}")


def virtual(space: Space, store: Store, spec: SearchSpec, curves: Curves, past: Past) -> None:
    search = store.find("latest")
    ledger = StoreWriter(store, search.id, QUIET, past.again)
    config = SearchConfig.model_construct(task=DEMO_TASK, space=space, search=spec)
    assert isinstance(spec.workers, int)
    executor = VirtualCluster(spec.workers)
    executor.run(trial_dispatch(config, search, ledger, past), curves, "virtual")


def content(store: Store) -> list[dict[str, Any]]:
    """Every trial and its prompt, without what tells a resumed one from another."""
    search = store.find("latest")
    prompts = {prompt.number: (prompt.digest, prompt.score) for prompt in store.prompts(search.id)}
    kept = []
    for trial in store.trials(search.id):
        row = asdict(trial)
        for name in ("started_at", "finished_at", "attempts", "note"):
            del row[name]
        kept.append(row | {"stored_prompt": prompts.get(trial.number)})
    return kept


def kill_after(writes: int, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """Let so many writes through, then die just before or just after the next one."""
    left = [writes]

    def deadly(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Store, *args: Any, **kw: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and before:
                raise KilledError
            result = write(self, *args, **kw)
            if left[0] == 0:
                raise KilledError
            return result

        return wrapped

    for name in ("start_trial", "restart_trial", "record_rung", "finish_trial"):
        monkeypatch.setattr(Store, name, deadly(getattr(Store, name)))


@pytest.mark.parametrize("workers", [1, 7])
def test_killed_at_any_moment_it_ends_on_budget_with_every_rung_once(
    workers: int, space: Space, curves: Curves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker, it ends as if nothing had happened: same draws, same stops, same prompts."""
    spec = SearchSpec(trials=40, workers=workers, seed=4, attempts=1000)
    untouched = open_store(tmp_path / "untouched.db")
    untouched.create_search(**search_fields())
    virtual(space, untouched, spec, curves, Past())
    expected = content(untouched)
    assert len({trial["kind"] for trial in expected}) == 2
    assert {trial["state"] for trial in expected} == {"complete", "pruned"}

    moments = random.Random(workers)
    for number in range(3):
        store = open_store(tmp_path / f"killed-{number}.db")
        search = store.create_search(**search_fields())
        past, deaths, reported = Past(), 0, set()
        while True:
            with monkeypatch.context() as patch:
                kill_after(moments.randint(1, 90), patch, before=moments.random() < 0.5)
                try:
                    virtual(space, store, spec, curves, past)
                    break
                except KilledError:
                    deaths += 1
            now = {
                (trial.number, *asdict(rung).values())
                for trial in store.trials(search.id)
                for rung in trial.rungs
            }
            assert reported <= now, "a reported rung was lost or changed"
            reported = now
            past = settle(store, search, spec.attempts, QUIET)
        assert deaths
        found = content(store)
        assert [trial["number"] for trial in found] == list(range(40))
        assert store.counts(search.id)["running"] == 0
        if workers == 1:
            assert found == expected


def test_what_had_not_ended_is_closed_or_begins_again(
    space: Space, curves: Curves, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "store.db")
    search = store.create_search(**search_fields())
    plan = {"kind": "hard", "seed": 1, "tokens": 2, "start": "a", "candidates": 2, "rounds": 4}
    plan |= {"batch_size": 4, "position": "suffix"}
    for number in range(5):
        fields = {"kind": "hard", "plan": plan, "params": {}, "distributions": {}}
        store.start_trial(search.id, number, **fields)
    blank = {"digest": "d", "text": "t", "content": b"", "log_probs": b""}

    def report(number: int, rung: int, step: int) -> None:
        row = {"rung": rung, "step": step, "score": 0.5, "loss": 1.0, "train_loss": 1.0}
        store.record_rung(search.id, number, row | {"seconds": 1.0}, blank, {})

    report(0, 1, 2)
    report(1, 3, 4)
    for _ in range(2):
        store.restart_trial(search.id, 2, "its controller died")
    store.finish_trial(search.id, 4, "pruned")
    past = settle(store, search, 3, QUIET)
    assert [trial.number for trial in past.again] == [0, 3]
    states = {trial.number: trial.state for trial in past.ended}
    assert states == {1: "complete", 2: "failed", 4: "pruned"}
    assert store.trials(search.id)[2].error == (
        "given up after 3 attempts: the last one's controller died"
    )


# What cannot be resumed


def stored(tiny_config: dict[str, Any], tmp_path: Path) -> Store:
    """A search that was killed before its first trial."""
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    store = Store.open(tiny_config["store"])
    create_search(prepare(config, QUIET), store)
    return store


def test_a_finished_search_is_not_resumed(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    store.finish_search(store.create_search(**search_fields("one")).id, "finished")
    with pytest.raises(BadInputError, match="'one' is finished: there is nothing to resume"):
        autoprompt.resume("one", db=f"sqlite:///{tmp_path / 'store.db'}", quiet=True)


def test_a_search_that_runs_elsewhere_is_not_resumed(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tiny_config, tmp_path)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.1)
    search = store.find("latest")
    with (
        lease.claimed(store, search),
        pytest.raises(BadInputError, match=r"'tiny' is being run by process \d+ on "),
    ):
        autoprompt.resume("tiny", db=tiny_config["store"], quiet=True)
    with (
        pytest.raises(BadInputError, match="is being run by"),
        lease.claimed(store, search),
    ):
        pytest.fail("claimed by what was seen before another process claimed it")


def test_changed_data_or_model_is_refused(
    tiny_config: dict[str, Any], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tiny_config, tmp_path)
    monkeypatch.chdir("/")  # the stored paths mean the same from anywhere

    def resume() -> None:
        autoprompt.resume("tiny", db=tiny_config["store"], quiet=True)

    write_texts(tmp_path / "texts.csv", [*TEXTS[:-1], {"text": "new", "label": "negative"}])
    with pytest.raises(DataError, match="the texts are not those that search 'tiny' began with"):
        resume()
    (tmp_path / "texts.csv").unlink()
    with pytest.raises(DataError, match="no such file"):
        resume()
    write_texts(tmp_path / "texts.csv")
    search = store.find("latest")
    store.update_search(search.id, versions=search.versions | {"model": "another"})
    with pytest.raises(ModelError, match="not the one that search 'tiny' began with"):
        resume()
    old = old_identity(ModelSpec(path=str(tiny_folder)))
    store.update_search(search.id, versions=search.versions | {"model": old})
    prepare_again(store.find("tiny"), tiny_config["store"], None, QUIET)
    store.update_search(search.id, config={"model": "m"})
    with pytest.raises(ConfigError, match="search 'tiny': data is required"):
        resume()
