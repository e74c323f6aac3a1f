"""Outputs appear whole, and take no other file's place."""

import errno
import os
from pathlib import Path

import pytest

from autoprompt.cli.labels import writing
from autoprompt.new_files import made_whole
from autoprompt.search_spaces.errors import BadInputError

ROW = {"text": "a joy", "label": "good", "probability": 0.9, "votes": 1.0}


def no_links(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "this file system has no links")


def make(path: Path, folder: bool, content: str) -> None:
    if folder:
        path.mkdir()
        path /= "inside"
    path.write_text(content)


def content(path: Path) -> str:
    return (path / "inside" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("folder", [True, False])
def test_what_appears_meanwhile_stays_and_what_was_made_is_kept_beside_it(
    folder: bool, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    out = tmp_path / "out.csv"

    def lose() -> None:
        with made_whole(out, "--out") as unfinished:
            make(unfinished, folder, "ours")
            make(out, folder, "theirs")

    with pytest.raises(BadInputError, match=r"--out .*out.csv: came .* is .*out-2.csv$") as refused:
        lose()
    assert "\n" not in str(refused.value)
    assert (content(out), content(tmp_path / "out-2.csv")) == ("theirs", "ours")
    assert {file.name for file in tmp_path.iterdir()} == {"out.csv", "out-2.csv"}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("folder", [True, False])
def test_what_nothing_stands_in_the_way_of_gets_its_name(
    folder: bool, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with made_whole(tmp_path / "out", "--out") as unfinished:
        make(unfinished, folder, "ours")
        assert not (tmp_path / "out").exists()
    assert content(tmp_path / "out") == "ours"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_of_another_is_not_taken(tmp_path: Path) -> None:
    """A rename alone would put a folder in its place."""
    out = tmp_path / "out"

    def lose() -> None:
        with made_whole(out, "--out") as unfinished:
            make(unfinished, True, "ours")
            out.mkdir()

    with pytest.raises(BadInputError, match="came to exist meanwhile"):
        lose()
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_labels_take_no_other_files_place(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"labels.{form}"

    def lose() -> None:
        with writing(str(path), form, ["good"], named=False) as writer:
            writer.write([ROW | {"probabilities": {"good": 0.9}}])
            path.write_text("theirs")

    with pytest.raises(BadInputError, match=r"--output .* came to exist meanwhile"):
        lose()
    assert path.read_text() == "theirs"
    assert "a joy" in (tmp_path / f"labels-2.{form}").read_text()
