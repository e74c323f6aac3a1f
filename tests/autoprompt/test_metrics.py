"""What can be watched while a search runs: Ray's real metrics endpoint, its actors and its jobs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from ray.util.metrics import Counter, Histogram, Metric

import autoprompt.controller.callbacks.prometheus
import autoprompt.workers.trial
from tests.conftest import write_yaml
from tests.deploy.schema import Dashboard

TOKEN = "5" * 64
SECRET = "a-secret-of-the-controllers"

GRAFANA = Path(__file__).parent.parent.parent / "deploy" / "grafana"

METRICS = [
    metric
    for module in (autoprompt.controller.callbacks.prometheus, autoprompt.workers.trial)
    for metric in vars(module).values()
    if isinstance(metric, Metric)
]


def series(metric: Metric) -> set[str]:
    """What a metric's series are called on Ray's endpoint."""
    endings = {Counter: ("_total",), Histogram: ("_bucket", "_sum", "_count")}.get(
        type(metric), ("",)
    )
    return {f"ray_{metric.info['name']}{ending}" for ending in endings}


@pytest.fixture
def search(tiny_config: dict[str, Any], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A search that runs until the test is over, on a Ray that demands a token: the URLs of the
    dashboard and the store."""
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    tiny_config["search"] |= {"trials": 100_000, "workers": 1, "cache_gib_on_disk": 1.0}
    process = subprocess.Popen(
        [Path(sys.executable).with_name("autoprompt"), "search"]
        + [write_yaml(tmp_path / "search.yaml", tiny_config)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ
        | {
            "AUTOPROMPT_CACHE": str(tmp_path / "cache"),
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
            "RAY_metrics_report_interval_ms": "500",
        },
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"Ray dashboard: (http://\S+)", line):
                yield found[1], tiny_config["store"]
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What the condition says once it is true."""
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not seen: {what}"
        time.sleep(0.5)
    return found


def ask(url: str) -> Any:
    """What Ray's dashboard answers to who holds the token."""
    return requests.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10).json()


def scrape(dashboard: str) -> list[Sample]:
    """All samples of all nodes, found as deploy/prometheus.yaml has Prometheus find them."""
    targets = [each for group in ask(f"{dashboard}/api/prometheus/sd") for each in group["targets"]]
    samples = []
    for target in targets:
        with suppress(requests.ConnectionError):  # Ray names some before they listen
            text = requests.get(f"http://{target}/metrics", timeout=10).text
            for family in text_string_to_metric_families(text):
                samples += family.samples
    return samples


def test_a_running_search_is_seen_on_rays_endpoints(search: tuple[str, str]) -> None:
    dashboard, store = search
    wanted = set().union(*map(series, METRICS))
    trials = "ray_autoprompt_trials"

    def seen() -> list[Sample]:
        ours = [each for each in scrape(dashboard) if "autoprompt" in each.name]
        ended = [each for each in ours if each.name == trials and each.labels["state"] == "pruned"]
        found = {each.labels.get("found") for each in ours}
        complete = wanted <= {each.name for each in ours} and {"at_hand", "nowhere"} <= found
        return ours if complete and ended and ended[0].value > 0 else []

    samples = wait_for(seen, ", ".join(wanted))
    assert {sample.name for sample in samples} == wanted
    assert {sample.labels["search"] for sample in samples} == {"tiny"}
    labels = {metric.info["name"]: set(metric.info["tag_keys"]) for metric in METRICS}
    for sample in samples:
        name = re.sub("^ray_|_(total|bucket|sum|count)$", "", sample.name)
        assert labels[name] <= set(sample.labels)

    by_state = {s.labels["state"]: s.value for s in samples if s.name == trials}
    assert sum(by_state.values()) == 100_000
    assert set(by_state) >= {"waiting", "running", "complete", "pruned", "failed"}
    (best,) = {s.value for s in samples if s.name == "ray_autoprompt_best_score"}
    stored = autoprompt.load("latest", db=store).best.score
    assert stored is not None
    assert 0 < best <= stored
    used = {s.labels["kind"]: s.value for s in samples if s.name == "ray_autoprompt_examples_total"}
    # Whole rungs of 2, 4 or 8 steps of 4 texts, each judged by 16.
    assert used
    assert all(count >= 16 + 4 and count % 4 == 0 for count in used.values())
    (size,) = {s.value for s in samples if s.name == "ray_autoprompt_cache_bytes"}
    assert size > 0

    def actors() -> Any:
        found = ask(f"{dashboard}/api/v0/actors?detail=1&limit=100")["data"]["result"]["result"]
        return [each for each in found if each["repr_name"]]

    (worker,) = wait_for(actors, "the worker's actor")
    assert re.fullmatch(r"tiny: trial \d+, (soft|hard), and those after it", worker["repr_name"])
    (job,) = ask(f"{dashboard}/api/jobs/")
    assert job["metadata"]["search"] == "tiny"
    shown = f"{job} {worker}"
    assert "PL_DISABLE_FORK" in shown, "no runtime environment was looked at"
    assert SECRET not in shown
    assert TOKEN not in shown
    assert requests.get(f"{dashboard}/api/jobs/", timeout=10).status_code == 401


def shown_as(metric: Metric) -> str:
    """The series of it that a dashboard reads; a histogram's sum is only Ray's estimate."""
    return next(name for name in series(metric) if not name.endswith(("_sum", "_count")))


def test_grafana_shows_every_metric_and_no_other() -> None:
    dashboard = Dashboard.model_validate_json((GRAFANA / "search.json").read_text(encoding="utf-8"))
    queries = [target.expr for panel in dashboard.panels for target in panel.targets]
    assert METRICS
    assert set(re.findall(r"\bray_\w+", " ".join(queries))) == set(map(shown_as, METRICS))
    tags = {shown_as(metric): {*metric.info["tag_keys"], "le"} for metric in METRICS}
    for query in queries:
        known = set.union(*(tags[name] for name in re.findall(r"\bray_\w+", query)))
        grouped = " ".join(re.findall(r"(?:by|ignoring) \(([^)]*)\)", query))
        assert set(re.findall(r"\w+", grouped)) <= known, query
        assert set(re.findall(r"(\w+)=~?\"", query)) <= known, query
    for panel in dashboard.panels:
        for target in panel.targets:
            legend = set(re.findall(r"\{\{(\w+)\}\}", target.legendFormat))
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target.expr))))
            assert legend <= grouped, panel.title
    (variable,) = dashboard.templating.list
    assert re.findall(r"ray_\w+", variable.query)[0] in tags
    datasources = yaml.safe_load((GRAFANA / "datasources.yaml").read_text(encoding="utf-8"))
    (datasource,) = datasources["datasources"]
    assert {panel.datasource.uid for panel in dashboard.panels} == {datasource["uid"]}
