"""Ctrl-C and SIGKILL: what was found stays, nothing is left running, and a resume goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import autoprompt
from tests.conftest import write_yaml

TRIALS = 6
COMMAND = Path(sys.executable).with_name("autoprompt")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_stopped_or_killed_is_resumed_to_its_budget(
    how: signal.Signals, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"] |= {"trials": TRIALS, "workers": 2}
    tiny_config["space"]["soft"]["steps"] = 100
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    process = subprocess.Popen(
        [COMMAND, "search", path], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("trial "):
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    lines += process.stderr.readlines()
    code = process.wait(timeout=120)
    assert "Traceback" not in "".join(lines)

    stopped = autoprompt.load(db=tiny_config["store"])
    if how == signal.SIGINT:
        assert code == 130, "".join(lines)
        assert lines[-1].startswith("Stopped: after ")
        assert "`autoprompt resume tiny` goes on" in lines[-1]
        assert stopped.state == "stopped"
        assert stopped.counts["running"] == 0
        assert stopped.ensemble.members
    else:
        assert stopped.state == "running"
    assert 1 <= len(stopped.leaderboard) < TRIALS
    assert stopped.test is None
    reported = rungs(stopped)

    # On Ray again, or in the command's own process.
    workers = "2" if how == signal.SIGKILL else "0"
    resumed = subprocess.run(
        [COMMAND, "resume", "tiny", "--db", tiny_config["store"], "--json", "--workers", workers],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=300,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["state"] == "finished"
    for trial in stopped.trials:
        if not trial.ended:
            assert f"trial {trial.number:>3}" in resumed.stderr
    result = autoprompt.load(db=tiny_config["store"])
    assert [trial.number for trial in result.trials] == list(range(TRIALS))
    assert all(trial.ended for trial in result.trials)
    assert reported <= rungs(result)
    assert result.test is not None
    # Ray's agents look for their dead parent every few seconds; a resume need not wait for them.
    _, alive = psutil.wait_procs(children, timeout=180)
    assert not alive


def rungs(result: Any) -> set[tuple[int, int, float]]:
    return {
        (trial.number, rung.rung, rung.score) for trial in result.trials for rung in trial.rungs
    }
