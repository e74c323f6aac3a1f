"""A text cache that does not hold every text: a fixed part of them stays where it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from autoprompt.workers import text_cache
from autoprompt.workers.cache_files import CacheFiles
from autoprompt.workers.data import Split
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.job import Job
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.plan_worker import PlanWorker
from autoprompt.workers.report import Report
from autoprompt.workers.rows_at_hand import PinnedRows
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task
from autoprompt.workers.text_cache import CacheSpec, TextCache
from autoprompt.workers.text_states import KeysAndValues, Passage
from tests.conftest import DEMO_TASK
from tests.tiny import TEXTS
from tests.workers.test_scoring import FLOAT32_TOLERANCE, PROMPTS

#: 30 texts of 8 tokens.
PASSAGES = [Passage(tuple(range(number, number + 8))) for number in range(30)]


@pytest.fixture
def each(tiny_model: FrozenModel) -> int:
    """Bytes of a text's states."""
    return 8 * KeysAndValues(tiny_model).width * 4


def epochs(cache: TextCache, count: int = 2) -> list[torch.Tensor]:
    """The keys of the first layer, batch by batch of the texts in order, so many times."""
    starts = [*range(0, len(PASSAGES), 5)] * count
    return [cache.batch(PASSAGES[start : start + 5]).states[0][0] for start in starts]


def test_scans_of_more_than_fits_compute_just_what_does_not(
    tiny_model: FrozenModel, each: int
) -> None:
    cache = TextCache(tiny_model, 16 * each)
    cache.keep(PASSAGES)
    cache.prefill()
    assert cache.encoded == 15  # a sixteenth is left to texts in use
    found = epochs(cache, 3)
    assert cache.encoded == 15 + 3 * 15
    assert cache.hits == 3 * 15
    assert cache.bytes <= 16 * each
    everything = TextCache(tiny_model)
    everything.keep(PASSAGES)
    for own, expected in zip(found, epochs(everything, 3), strict=True):
        torch.testing.assert_close(own, expected)


def test_a_step_that_goes_over_its_texts_twice_computes_them_once(
    tiny_model: FrozenModel, each: int
) -> None:
    cache = TextCache(tiny_model, 64 * each)
    more = [Passage((*text.ids, 5)) for text in PASSAGES] + [
        Passage((*text.ids, 6)) for text in PASSAGES
    ]
    cache.keep(more)
    nowhere = [text for text in more if cache._places[text] == "nowhere"][:3]
    assert len(nowhere) == 3
    cache.batch(nowhere)
    cache.batch(nowhere)
    assert (cache.encoded, cache.hits) == (3, 3)


def test_what_memory_does_not_hold_is_read_from_disk_and_what_neither_does_is_not_written(
    tiny_model: FrozenModel, each: int, tmp_path: Path
) -> None:
    room = 10 * (each + 1024)
    cache = CacheSpec(16 * each, room, str(tmp_path)).open(tiny_model)
    cache.keep(PASSAGES)
    cache.prefill()
    assert cache.encoded == 25
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(files) == 10
    assert sum(path.stat().st_size for path in files) <= room
    epochs(cache)
    assert cache.read == 2 * 10
    assert cache.encoded == 25 + 2 * 5
    assert set(tmp_path.rglob("*.safetensors")) == set(files)


def test_a_file_that_another_search_has_deleted_is_not_written_again(
    tiny_model: FrozenModel, each: int, tmp_path: Path
) -> None:
    cache = CacheSpec(16 * each, 10 * (each + 1024), str(tmp_path)).open(tiny_model)
    cache.keep(PASSAGES)
    cache.prefill()
    gone = next(tmp_path.rglob("*.safetensors"))
    gone.unlink()
    epochs(cache)
    assert cache.encoded == 25 + 2 * 6
    assert not gone.exists()


def test_a_second_worker_finds_what_the_first_put_on_disk(
    tiny_model: FrozenModel, each: int, tmp_path: Path
) -> None:
    spec = CacheSpec(16 * each, 10 * (each + 1024), str(tmp_path))
    scored = []
    for _ in range(2):
        cache = spec.open(tiny_model)
        cache.keep(PASSAGES)
        cache.prefill()
        scored.append(epochs(cache))
    assert cache.encoded == 15 + 2 * 5
    for first, second in zip(*scored, strict=True):
        assert torch.equal(first, second)


def test_the_same_texts_are_kept_and_the_same_bytes_come_out_each_time(
    tiny_model: FrozenModel, each: int, tmp_path: Path
) -> None:
    """Whatever the disk held before: room is made, and places follow from sizes."""
    runs = []
    for held_before in (0, 6):
        folder = tmp_path / str(held_before)
        others = CacheFiles(folder / "texts", "another", 10 * (each + 1024))
        for number in range(held_before):
            others.put((number,), torch.zeros(each, dtype=torch.uint8))
        cache = CacheSpec(16 * each, 10 * (each + 1024), str(folder)).open(tiny_model)
        cache.keep(PASSAGES)
        cache.prefill()
        runs.append(epochs(cache))
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)


def test_validation_stays_whole_where_train_does_not_fit(
    tiny_model: FrozenModel, tiny_task: Task
) -> None:
    scorer = Scorer(tiny_model, tiny_task, longest_prompt=8)
    texts = scorer.tokenize([row["text"] for row in TEXTS])
    expected = scorer.log_probs(PROMPTS, texts)
    limit = scorer.cache.bytes // 3
    small = Scorer(tiny_model, tiny_task, longest_prompt=8, cache=TextCache(tiny_model, limit))
    validation, train = texts[:20], texts[20:]
    small.prefill([*validation, *train], {"suffix"})
    assert all(Passage(text) in small.cache for text in validation)
    assert not all(Passage(text) in small.cache for text in train)
    torch.testing.assert_close(
        small.log_probs(PROMPTS, texts), expected, atol=FLOAT32_TOLERANCE, rtol=0
    )
    assert small.cache.bytes <= limit


def test_texts_without_a_place_go_when_they_were_not_used_longest(
    tiny_model: FrozenModel, each: int
) -> None:
    cache = TextCache(tiny_model, 10 * each)
    for start in range(0, 20, 5):
        cache.batch([PASSAGES[0], *PASSAGES[start + 1 : start + 5]])
        assert cache.bytes <= 10 * each
    assert PASSAGES[0] in cache
    assert PASSAGES[1] not in cache
    assert PASSAGES[19] in cache


def test_a_gpu_that_computes_faster_than_files_are_read_leaves_them_out(
    tiny_model: FrozenModel, each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_cache, "files_are_faster", lambda *arguments: False)
    cache = CacheSpec(16 * each, 10 * (each + 1024), str(tmp_path)).open(tiny_model)
    monkeypatch.setattr(cache, "_device", _LikeGpu)
    cache.keep(PASSAGES)
    assert cache._worth_reading() == []
    assert sum(place == "nowhere" for place in cache._places.values()) == 15


def test_a_trial_comes_out_the_same_whatever_its_worker_did_before(
    tiny_folder: Path, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where most texts are computed each time, beside others that may be at hand already."""
    rows = [(row["text"], int(row["label"] == "positive")) for row in TEXTS]
    texts, labels = zip(*rows, strict=True)
    job = Job(
        model=ModelSpec(path=str(tiny_folder), dtype="float32"),
        task=DEMO_TASK,
        train=Split(texts[:80], labels[:80]),
        validation=Split(texts[80:], labels[80:]),
        longest_prompt=4,
        cache=CacheSpec(bytes_at_hand=64 * each),
        positions=frozenset({"suffix"}),
        fractions=(1.0,),
    )
    plan = {
        "kind": "soft", "length": 2, "learning_rate": 0.05, "steps": 6, "batch_size": 7,
        "init": "random", "position": "suffix",
    }  # fmt: skip

    def carried_out(*seeds: int) -> bytes:
        worker = PlanWorker(job)
        for seed in seeds:
            worker.begin([{"number": seed, "plan": plan | {"seed": seed, "data_seed": seed}}])
            [report] = worker.advance().reports
            assert isinstance(report, Report)
        return report.prompt

    held: list[int] = []
    honest = TextCache.forget

    def forget(self: TextCache) -> None:
        held.append(len(self._passing))
        honest(self)
        assert not self._passing

    monkeypatch.setattr(TextCache, "forget", forget)
    assert carried_out(1, 2, 3) == carried_out(3)
    assert [count > 0 for count in held] == [False, True, True, False]


class _LikeGpu:
    type = "cuda"


def test_rows_of_the_host_lie_in_a_few_blocks_unchanged() -> None:
    rows: Sequence[torch.Tensor] = [torch.rand(length, 5) for length in (3, 1, 7, 200, 2)]
    held = PinnedRows(slab=512, pin=False)
    copies = [held.add(row) for row in rows]
    for row, copy in zip(rows, copies, strict=True):
        assert torch.equal(row, copy)
    assert copies[0].untyped_storage().data_ptr() == copies[2].untyped_storage().data_ptr()
    assert copies[3].untyped_storage().data_ptr() != copies[2].untyped_storage().data_ptr()
