"""A model's identity: every byte of what decides its answers, hashed once."""

import json
import os
from pathlib import Path

import pytest

from autoprompt.workers import file_digests
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_identity import model_identity
from autoprompt.workers.old_identity import old_identity

LONG_AGO = (1_000_000_000, 1_000_000_000)

#: Of the folder that `make_model` makes, as searches stored it before identities had a version.
OLD_IDENTITY = "aafba09b917bdbc7"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_model(folder: Path) -> ModelSpec:
    """What looks like a model, with weights of 3 MiB."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * (3 * 4096))
    return ModelSpec(path=str(folder))


def flip(file: Path, place: int) -> None:
    with file.open("r+b") as content:
        content.seek(place)
        byte = content.read(1)[0]
        content.seek(place)
        content.write(bytes([byte ^ 1]))


def test_one_byte_in_the_middle_of_the_weights_makes_another_model(tmp_path: Path) -> None:
    one, other = make_model(tmp_path / "one"), make_model(tmp_path / "other")
    assert model_identity(one) == model_identity(other)
    flip(tmp_path / "other" / "model.safetensors", 3 << 19)
    assert old_identity(one) == old_identity(other) == OLD_IDENTITY
    assert model_identity(one) != model_identity(other)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer.model", "model.py"])
def test_every_file_that_decides_answers_counts(name: str, tmp_path: Path) -> None:
    spec = make_model(tmp_path / "model")
    before = model_identity(spec)
    (tmp_path / "model" / name).write_text('{"other": 1}')
    assert model_identity(spec) != before


def test_what_decides_no_answer_does_not_count(tmp_path: Path) -> None:
    spec = make_model(tmp_path / "model")
    before = model_identity(spec)
    for name in ("README.md", "generation_config.json", ".gitattributes", ".hidden.json"):
        (tmp_path / "model" / name).write_text("other")
    assert model_identity(spec) == before


def test_a_gguf_file_and_an_adapter_are_known_by_every_byte(tmp_path: Path) -> None:
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(bytes(3 << 20))
    before = model_identity(ModelSpec(path=str(gguf)))
    flip(gguf, 3 << 19)
    assert model_identity(ModelSpec(path=str(gguf))) != before
    bare = make_model(tmp_path / "model")
    (tmp_path / "adapter").mkdir()
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(bytes(3 << 20))
    spec = bare.model_copy(update={"adapter": str(tmp_path / "adapter")})
    before = model_identity(spec)
    assert before != model_identity(bare)
    flip(weights, 3 << 19)
    assert model_identity(spec) != before


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    spec = make_model(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    os.utime(weights, LONG_AGO)
    before = model_identity(spec)
    flip(weights, 3 << 19)
    os.utime(weights, LONG_AGO)
    assert model_identity(spec) == before, "hashed again"
    os.utime(weights, ns=(LONG_AGO[0] * 10**9, LONG_AGO[1] * 10**9 + 1))
    assert model_identity(spec) != before, "not hashed again"


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    spec = make_model(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    before, stat = model_identity(spec), weights.stat()
    flip(weights, 3 << 19)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert model_identity(spec) != before


@pytest.mark.parametrize("damage", ["", "[1]", '{"/a": {"size": 1}}', "\x00"])
def test_a_damaged_memory_is_ignored_and_made_again(
    damage: str, cache: Path, tmp_path: Path
) -> None:
    spec = make_model(tmp_path / "model")
    os.utime(tmp_path / "model" / "model.safetensors", LONG_AGO)
    expected = model_identity(spec)
    (cache / "digests.json").write_text(damage)
    assert model_identity(spec) == expected
    [path] = json.loads((cache / "digests.json").read_text())
    assert path == str((tmp_path / "model" / "model.safetensors").resolve())
    assert [file.name for file in cache.iterdir()] == ["digests.json"]


def test_a_cache_folder_that_cannot_be_written_costs_time_alone(
    cache: Path, tmp_path: Path
) -> None:
    cache.write_text("a file in the way")
    spec = make_model(tmp_path / "model")
    assert model_identity(spec) == model_identity(spec)


def test_hashing_that_takes_a_while_is_announced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_model(tmp_path / "model")
    lines: list[str] = []
    model_identity(spec, lines.append)
    assert lines == []
    monkeypatch.setattr(file_digests, "_PATIENCE", -1.0)
    model_identity(spec, lines.append)
    [line] = lines
    assert str(tmp_path / "model") in line
