"""Ctrl-C: the search is closed, what was found stays, nothing is left running."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

import autoprompt
from tests.conftest import write_yaml


def test_ctrl_c_closes_the_search_and_leaves_nothing_running(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"] |= {"trials": 1000}
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("autoprompt"), "search", path],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("trial "):
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    lines += process.stderr.readlines()
    assert process.wait(timeout=60) == 130, "".join(lines)
    assert "Stopped: " in lines[-1]
    assert "Traceback" not in "".join(lines)

    result = autoprompt.load(db=tiny_config["store"])
    assert result.state == "stopped"
    assert result.counts["running"] == 0
    assert 1 <= len(result.leaderboard) < 1000
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
