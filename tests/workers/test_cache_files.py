"""Cache files: shared, bounded, and never believed when they are not what they were."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from autoprompt.workers import cache_files, text_cache
from autoprompt.workers.cache_files import OVERHEAD, CacheFiles
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_loading import load_model
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task
from autoprompt.workers.text_cache import CacheSpec
from autoprompt.workers.text_states import Passage
from tests.tiny import TEXTS, save_tiny_model
from tests.workers.test_scoring import PROMPTS

STATES = torch.arange(12, dtype=torch.bfloat16).reshape(3, 4)
TEXT = (5, 6, 7)


def only_file(folder: Path) -> Path:
    (file,) = folder.rglob("*.safetensors")
    return file


def test_what_is_put_is_found_by_another_process(tmp_path: Path) -> None:
    CacheFiles(tmp_path, "m", 1 << 20).put(TEXT, STATES)
    found = CacheFiles(tmp_path, "m", 1 << 20).get(TEXT)
    assert found is not None
    assert torch.equal(found, STATES)
    assert CacheFiles(tmp_path, "m", 1 << 20).get((5, 6)) is None
    assert CacheFiles(tmp_path, "other", 1 << 20).get(TEXT) is None


@pytest.mark.parametrize("damage", ["cut", "cut to nothing", "flip", "other model"])
def test_a_damaged_file_is_noticed_and_made_again(damage: str, tmp_path: Path) -> None:
    files = CacheFiles(tmp_path, "m", 1 << 20)
    files.put(TEXT, STATES)
    path = only_file(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-5]
    elif damage == "cut to nothing":
        content = bytearray()
    elif damage == "flip":
        content[-1] ^= 4
    else:
        content = bytearray(content.replace(b'"model":"m"', b'"model":"n"'))
    path.write_bytes(content)
    assert files.get(TEXT) is None
    files.put(TEXT, STATES)
    again = files.get(TEXT)
    assert again is not None
    assert torch.equal(again, STATES)


BIG = torch.zeros(100, 100)


def test_what_others_used_least_recently_goes_when_the_limit_is_reached(tmp_path: Path) -> None:
    limit = 10 * (BIG.nbytes + OVERHEAD)
    others = CacheFiles(tmp_path, "another", limit)
    for number in range(9):
        others.put((number,), BIG)
        os.utime(others._path((number,)), (number, number))
    others.get((0,))
    ours = CacheFiles(tmp_path, "m", limit)
    for number in range(3):
        ours.put((number,), BIG)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) <= limit
    assert all((number,) in ours for number in range(3))
    assert (0,) in others
    assert not any((number,) in others for number in (1, 2))


def test_no_text_of_ones_own_is_deleted_for_another(tmp_path: Path) -> None:
    files = CacheFiles(tmp_path, "m", limit=10 * (BIG.nbytes + OVERHEAD))
    written = [files.put((number,), BIG) is not None for number in range(15)]
    assert written == [True] * 10 + [False] * 5
    assert [(number,) in files for number in range(15)] == written


def test_room_is_made_for_all_texts_at_once_and_for_none_that_is_there(tmp_path: Path) -> None:
    each = BIG.nbytes + OVERHEAD
    others = CacheFiles(tmp_path, "another", 10 * each)
    for number in range(5):
        others.put((number,), BIG)
    ours = CacheFiles(tmp_path, "m", 10 * each)
    ours.put((0,), BIG)
    fresh = CacheFiles(tmp_path, "m", 10 * each)
    fresh.make_room([(number,) for number in range(5)], 5 * each)
    assert all((number,) in others for number in range(5))
    fresh.make_room([(number,) for number in range(8)], 8 * each)
    assert sum((number,) in others for number in range(5)) == 2
    assert (0,) in fresh


def test_a_folder_that_cannot_be_written_costs_nothing_but_speed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    files = CacheFiles(tmp_path / "file", "m", 1 << 20)
    assert files.put(TEXT, STATES) is None
    assert files.get(TEXT) is None
    assert TEXT not in files


def test_a_folder_that_is_full_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CacheFiles(tmp_path, "m", 1 << 20)
    files.put(TEXT, STATES)

    def full(*arguments: object, **others: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(cache_files, "save_file", full)
    assert files.put((1,), STATES) is None
    assert files.get(TEXT) is not None
    assert list(tmp_path.glob("*/*/*")) == [only_file(tmp_path)]


def test_a_writer_that_dies_half_way_leaves_nothing_to_be_taken_for_a_text(tmp_path: Path) -> None:
    """Killed at random moments while writing: whatever is found afterwards is whole."""
    code = (
        "import sys, torch; from pathlib import Path; "
        "from autoprompt.workers.cache_files import CacheFiles; "
        "files = CacheFiles(Path(sys.argv[1]), 'm', 1 << 30); big = torch.ones(1000, 500); "
        "print('ready', flush=True); "
        "[files.put((number,), big * number) for number in range(100000)]"
    )
    files = CacheFiles(tmp_path, "m", 1 << 30)
    for delay in (0.01, 0.08):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.kill()
        process.wait()
        process.stdout.close()
    found = [number for number in range(3000) if (number,) in files]
    assert found
    for number in found:
        states = files.get((number,))
        assert states is not None, "a half-written file has a text's name"
        assert float(states[0, 0]) == number


def test_a_second_search_encodes_nothing(
    tiny_model: FrozenModel, tiny_task: Task, tmp_path: Path
) -> None:
    spec = CacheSpec(bytes_on_disk=1 << 30, folder=str(tmp_path))

    def scores() -> tuple[torch.Tensor, int]:
        scorer = Scorer(tiny_model, tiny_task, longest_prompt=8, cache=spec.open(tiny_model))
        texts = scorer.tokenize([row["text"] for row in TEXTS])
        scorer.prefill(texts, {"suffix"})
        return scorer.log_probs(PROMPTS, texts), scorer.cache.encoded

    first, encoded = scores()
    assert encoded == len(TEXTS)
    second, encoded = scores()
    assert encoded == 0
    assert torch.equal(first, second)


def test_where_texts_were_found_is_counted(tiny_model: FrozenModel, tmp_path: Path) -> None:
    spec = CacheSpec(bytes_on_disk=1 << 30, folder=str(tmp_path))
    texts = [Passage((1, 2)), Passage((3, 4, 5)), Passage((6,))]
    first, second = spec.open(tiny_model), spec.open(tiny_model)
    for cache in (first, second):
        cache.keep(texts)
    first.batch(texts[:2])
    first.batch([*texts, *texts])
    assert (first.hits, first.read, first.encoded) == (2, 0, 3)
    second.batch(texts)
    assert (second.hits, second.read, second.encoded) == (0, 3, 0)


def test_another_models_files_are_not_used(
    tiny_model: FrozenModel, tiny_task: Task, tmp_path: Path
) -> None:
    spec = CacheSpec(bytes_on_disk=1 << 30, folder=str(tmp_path / "cache"))
    folder = save_tiny_model(tmp_path / "model", initializer_range=0.1)
    other = load_model(ModelSpec(path=str(folder), dtype="float32"))
    for model in (tiny_model, other):
        scorer = Scorer(model, tiny_task, longest_prompt=8, cache=spec.open(model))
        texts = scorer.tokenize([row["text"] for row in TEXTS[:20]])
        scorer.prefill(texts, {"suffix"})
        found = scorer.log_probs(PROMPTS, texts)
        assert scorer.cache.encoded == 20
        fresh = Scorer(model, tiny_task, longest_prompt=8)
        torch.testing.assert_close(found, fresh.log_probs(PROMPTS, texts))


def test_a_flipped_byte_changes_no_score(
    tiny_model: FrozenModel, tiny_task: Task, tmp_path: Path
) -> None:
    spec = CacheSpec(bytes_on_disk=1 << 30, folder=str(tmp_path))
    first = Scorer(tiny_model, tiny_task, longest_prompt=8, cache=spec.open(tiny_model))
    texts = first.tokenize([row["text"] for row in TEXTS[:10]])
    first.prefill(texts, {"suffix"})
    expected = first.log_probs(PROMPTS, texts)
    for path in tmp_path.rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-2] ^= 0x40
        path.write_bytes(content)
    again = Scorer(tiny_model, tiny_task, longest_prompt=8, cache=spec.open(tiny_model))
    again.prefill(texts, {"suffix"})
    torch.testing.assert_close(again.log_probs(PROMPTS, texts), expected)
    assert again.cache.encoded == 10


def test_workers_that_begin_together_encode_no_text_twice(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """Two processes over one folder, let go at the same moment."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    counts = context.Queue()
    workers = [
        context.Process(target=_prefill, args=(str(tiny_folder), str(tmp_path), together, counts))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    encoded = [counts.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(encoded) == len({row["text"] for row in TEXTS})


def _prefill(model: str, folder: str, together: Any, counts: Any) -> None:
    torch.set_num_threads(1)
    frozen = load_model(ModelSpec(path=model, dtype="float32"))
    cache = CacheSpec(bytes_on_disk=1 << 30, folder=folder).open(frozen)
    read = frozen.tokenizer([row["text"] for row in TEXTS]).input_ids
    texts = [Passage(tuple(ids)) for ids in read]
    # Small batches, so that there is something to share out.
    text_cache._TOKENS_PER_BATCH = 64
    together.wait(timeout=300)
    cache.keep(texts)
    cache.prefill()
    counts.put(cache.encoded)
