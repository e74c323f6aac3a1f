"""`--format vllm`: a client that sends embeddings answers as the search does."""

import json
from pathlib import Path

import pytest

from autoprompt.results import SearchResult
from tests.autoprompt.test_export import ASKED, TOLERANCE, run_here
from tests.completions_server import completions_server


def test_the_clients_vote_is_the_searchs(
    finished: SearchResult,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = finished.export(tmp_path / "out", "vllm", ensemble=True)
    monkeypatch.setenv("VLLM_API_KEY", "made-up")
    with completions_server(tiny_folder, "tiny", "made-up") as server:
        at = ("--server", server.url, "--model", "tiny")
        lines = run_here(folder / "client.py", *at, *ASKED).splitlines()
        expected = finished.ensemble.predict(ASKED)
        for row, own in zip(map(json.loads, lines), expected, strict=True):
            assert (row["label"], row["votes"]) == (own.label, pytest.approx(own.votes))
            assert row["probability"] == pytest.approx(own.probability, abs=TOLERANCE)
        # Words of several tokens: the server is asked at each of them, in one request.
        assert {len(request.prompt_embeds) for request in server.asked} >= {1, 2}
        assert all(request.logprob_token_ids for request in server.asked)
        other = ("--server", server.url, "--model", "another", ASKED[0])
        with pytest.raises(SystemExit) as ended:
            run_here(folder / "client.py", *other)
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert "404: " in said
        assert "The model `another` does not exist." in said
    with pytest.raises(SystemExit):
        run_here(folder / "client.py", *at, ASKED[0])
    assert "Connection refused" in capsys.readouterr().err
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "python client.py --server" in card
