"""What Tab completes, as the shells ask for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoprompt.cli import main
from autoprompt.cli.main import COMMANDS


def completed(line: str, **env: str) -> list[str]:
    """What bash is told at the end of a line."""
    words = line.split(" ")
    asked = {
        "_AUTOPROMPT_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(main, prog_name="autoprompt", env=asked | env)
    assert not result.stderr
    return [item.partition(",")[2] for item in result.stdout.split()]


def test_commands_and_options() -> None:
    begun = [name for name in COMMANDS if name.startswith("s")]
    assert completed("autoprompt s") == begun
    assert {"search", "serve", "show"} <= set(begun)
    assert "--json" in completed("autoprompt show --")
    assert completed("autoprompt --d") == ["--debug"]


def test_presets() -> None:
    assert {"quick", "kv"} <= set(completed("autoprompt spaces "))
    assert completed("autoprompt spaces qu") == ["quick"]


@pytest.mark.parametrize(
    "line",
    [
        "show ",
        "predict ",
        "compare ",
        "compare finished ",
        "resume ",
        "predict --search ",
        "search --warm-start ",
        "logs -f ",
    ],
)
def test_searches_of_the_store(line: str, finished_db: str) -> None:
    assert completed(f"autoprompt {line}", AUTOPROMPT_DB=finished_db) == ["latest", "finished"]
    assert completed(f"autoprompt {line}fin", AUTOPROMPT_DB=finished_db) == ["finished"]


def test_the_store_may_be_named_before(finished_db: str) -> None:
    assert completed(f"autoprompt show --db {finished_db} l") == ["latest"]


def test_a_store_that_cannot_be_opened_completes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed("autoprompt show ") == []
    assert completed("autoprompt show --db postgresql://me:secret@localhost:1/x ") == []
    assert not list(tmp_path.iterdir())


def test_the_shells_scripts_are_printed_without_loading_anything_heavy() -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
        "from autoprompt.cli import main; main(prog_name='autoprompt')"
    )
    for shell, word in (("zsh", "compdef"), ("fish", "complete --no-files")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"_AUTOPROMPT_COMPLETE": f"{shell}_source"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert word in done.stdout
        assert not {"pydantic", "sqlalchemy", "torch"} & set(done.stderr.split())
