"""`make` installs with what a machine has: uv, or any Python from 3.11 up."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKE = shutil.which("make")

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not here")


def install(folder: Path, **programs: int) -> subprocess.CompletedProcess[str]:
    """What `make install` would run on a machine with these programs; a Python's number is what it
    exits with when asked whether it is new enough."""
    machine = folder / "bin"
    machine.mkdir()
    for name, answer in programs.items():
        program = machine / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\nexit {answer}\n", encoding="utf-8")
        program.chmod(0o755)
    return subprocess.run(
        [str(MAKE), "--dry-run", "install", f"VENV={folder / 'venv'}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": str(machine)},
    )


def test_the_first_python_that_is_new_enough_makes_the_environment(tmp_path: Path) -> None:
    done = install(tmp_path, python3_11=127, python3=1, python3_13=0, python=0)
    assert f"\npython3.13 -m venv {tmp_path / 'venv'}\n" in done.stdout
    assert f"\n{tmp_path / 'venv/bin/pip'} install " in done.stdout


def test_a_python_by_any_name_will_do(tmp_path: Path) -> None:
    done = install(tmp_path, python3=1, python=0)
    assert f"\npython -m venv {tmp_path / 'venv'}\n" in done.stdout


def test_uv_installs_where_it_is_there(tmp_path: Path) -> None:
    done = install(tmp_path, uv=0, python3_12=0)
    assert "/uv venv " in done.stdout
    assert "--python 'python3.12'" in done.stdout
    assert f"/uv pip install --quiet --python {tmp_path / 'venv/bin/python'} " in done.stdout
    assert "/pip install" not in done.stdout


def test_uv_brings_a_python_where_there_is_none(tmp_path: Path) -> None:
    assert "--python '>=3.11'" in install(tmp_path, uv=0, python3=1).stdout


def test_without_any_one_line_says_what_is_needed(tmp_path: Path) -> None:
    done = install(tmp_path, python3=1)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer, or uv, and finds neither" in done.stderr
