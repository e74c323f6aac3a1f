"""Several nodes of real Ray: workers share no file with the controller, and a node dies."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

import autoprompt
from tests.conftest import write_yaml

COMMAND = Path(sys.executable).with_name("autoprompt")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A head without the resource that trials ask for; the tests share it."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        yield made
    finally:
        made.shutdown()


def test_a_search_outlives_a_node_and_uses_one_that_joins(
    nodes: Cluster, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    first = nodes.add_node(num_cpus=2, resources={"place": 1})
    tiny_config["space"]["soft"]["steps"] = 400
    tiny_config["space"].pop("hard")
    tiny_config["search"] |= {
        "trials": 8,
        "workers": "auto",
        "resources_per_worker": {"place": 0.5},
        "ray_address": nodes.address,
    }
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    process = subprocess.Popen(
        [COMMAND, "search", path], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("trial "):  # its worker begins another now
            nodes.remove_node(first, allow_graceful=False)
            break
    nodes.add_node(num_cpus=1, resources={"place": 1})
    lines += process.stderr.readlines()
    assert process.wait(timeout=200) == 0, "".join(lines)

    result = autoprompt.load(db=tiny_config["store"])
    assert result.state == "finished"
    assert [trial.number for trial in result.trials] == list(range(8))
    assert {trial.state for trial in result.trials} <= {"complete", "pruned"}
    moved = [trial for trial in result.trials if trial.attempts > 1]
    assert moved, "".join(lines)
    for trial in moved:
        assert trial.note is not None
        assert trial.note.startswith("its worker died: ")
        assert [rung.rung for rung in trial.rungs] == list(range(1, len(trial.rungs) + 1))
    assert len({trial.worker for trial in result.trials}) > 1, "the second node did nothing"


def test_a_worker_that_fits_on_no_node_is_refused(
    nodes: Cluster, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"] |= {
        "workers": 1,
        "resources_per_worker": {"place": 1},
        "gpus_per_worker": 0.5,
        "ray_address": nodes.address,
    }
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    found = subprocess.run(
        [COMMAND, "search", path], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert found.returncode == 2
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("Error: ")]
    assert re.search("a worker needs 1 CPU, 0.5 GPU, 1 place; no node .* has that", line)
