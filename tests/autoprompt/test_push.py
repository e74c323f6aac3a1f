"""An exported folder goes to a Hub, by huggingface_hub, and says what arrived where it does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import UploadFailedError
from tests.autoprompt.test_export import call, refused, trial_of
from tests.hub_server import TOKEN, HubServer, hub_server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server(monkeypatch) as server:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_command_uploads_what_it_wrote(
    hub: HubServer, finished: SearchResult, finished_db: str, tmp_path: Path
) -> None:
    soft = str(trial_of(finished, "soft", "prefix"))
    asked = ["export", "latest", "--db", finished_db, "--format", "json", "--trial", soft]
    result = call(*asked, "--out", str(tmp_path / "out"), "--push", "someone/prompts")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"{hub.url}/someone/prompts"
    assert hub.repositories == {"someone/prompts": True}
    assert hub.files == contents(tmp_path / "out")
    assert "prompts.safetensors" in hub.files
    assert ModelCard(hub.files["README.md"].decode()).data.eval_results
    assert TOKEN not in result.output

    public = call(*asked, "--out", str(tmp_path / "two"), "--push", "someone/all", "--public")
    assert public.exit_code == 0, public.output
    assert hub.repositories["someone/all"] is False
    refused(
        call(*asked, "--out", str(tmp_path / "three"), "--push", "someone/all"),
        "--push someone/all: exists, and everybody sees it", "--public",
    )  # fmt: skip
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("part", ["/commit/", "/info/lfs/", "/api/repos/create"])
def test_a_failure_says_what_arrived_and_leaves_the_folder(
    part: str, hub: HubServer, finished: SearchResult, tmp_path: Path
) -> None:
    folder, soft = tmp_path / "out", trial_of(finished, "soft", "prefix")
    hub.refused = (part, "You have no room left")
    with pytest.raises(UploadFailedError) as failed:
        finished.export(folder, trial=soft, push="someone/prompts")
    said = str(failed.value)
    assert said.startswith("--push someone/prompts: You have no room left; ")
    assert said.endswith(
        f"{folder} is whole: `hf upload someone/prompts {folder}` uploads it again"
    )
    assert "README.md" in contents(folder)
    if part == "/api/repos/create":
        assert "what arrived cannot be told" in said
    else:
        names = ", ".join(sorted(contents(folder)))
        assert f"uploaded: nothing; not uploaded: {names};" in said
    assert hub.files == {}


def test_files_that_are_there_are_told_from_others_of_their_names(
    hub: HubServer, finished: SearchResult, tmp_path: Path
) -> None:
    folder, soft = tmp_path / "out", trial_of(finished, "soft", "prefix")
    hub.repositories["someone/prompts"] = True
    before: dict[str, Any] = contents(finished.export(tmp_path / "one", trial=soft))
    hub.files = before | {"prompt.json": b"another", "old.txt": b"stays"}
    hub.refused = ("/commit/", "Read-only for maintenance")
    with pytest.raises(UploadFailedError, match=r"not uploaded: prompt\.json; ") as failed:
        finished.export(folder, trial=soft, push="someone/prompts")
    assert "uploaded: README.md, answers.py, inputs.py, predict.py, prompts.safetensors;" in str(
        failed.value
    )


@pytest.mark.parametrize(
    ("repo", "said"),
    [
        ("prompts", "name the owner too, as ORG/NAME"),
        ("some one/prompts", "must use alphanumeric"),
        ("someone/prompts", "no token of the Hub; run `hf auth login`, or set HF_TOKEN"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_before_it_is_exported(
    repo: str,
    said: str,
    hub: HubServer,
    finished: SearchResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match=said):
        finished.export(tmp_path / "out", push=repo)
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(UploadFailedError, match=r"someone/prompts: .*; nothing was exported"):
        finished.export(tmp_path / "out", push="someone/prompts")
    assert not (tmp_path / "out").exists()
