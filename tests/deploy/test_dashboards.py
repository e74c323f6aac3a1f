"""What Prometheus is asked, by Grafana's dashboards and by alerts: metrics that there are."""

import re

import promql_parser
import pytest

from tests.autoprompt.test_metrics import METRICS, shown_as
from tests.deploy import schema
from tests.deploy.files import DEPLOY, ROOT, documents, kinds, text

DASHBOARDS = sorted(path.name for path in (DEPLOY / "grafana").glob("*.json"))
#: The endings of the series that are read, by the metric's kind.
ENDINGS = {"Counter": "_total", "Gauge": "", "Histogram": "_bucket"}


def served() -> set[str]:
    """What a server exports. Its metrics are made where it runs, so they are read in its code."""
    made = [
        each
        for path in (ROOT / "autoprompt" / "serving").glob("*.py")
        for each in re.findall(
            r'\b(Counter|Gauge|Histogram)\(\s*"(autoprompt_\w+)"', path.read_text(encoding="utf-8")
        )
    ]
    return {f"ray_{name}{ENDINGS[kind]}" for kind, name in made}


def asked(name: str) -> list[str]:
    """A dashboard's queries."""
    dashboard = schema.Dashboard.model_validate_json(text(f"grafana/{name}"))
    return [target.expr for panel in dashboard.panels for target in panel.targets]


def alerts() -> list[dict[str, str]]:
    [rule] = kinds("PrometheusRule")
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def named(queries: list[str]) -> set[str]:
    return set(re.findall(r"\bray_\w+", " ".join(queries)))


def test_grafana_shows_every_metric_of_a_server_and_no_other() -> None:
    assert len(served()) == 6
    assert named(asked("serving.json")) == served()


def test_alerts_are_about_metrics_that_there_are() -> None:
    assert named([alert["expr"] for alert in alerts()]) < {*map(shown_as, METRICS), *served()}


def test_every_query_is_one() -> None:
    for query in [alert["expr"] for alert in alerts()] + [q for d in DASHBOARDS for q in asked(d)]:
        promql_parser.parse(query)
        with pytest.raises(ValueError, match="unexpected right parenthesis"):
            promql_parser.parse(f"{query} )")


def test_the_readme_has_every_alert() -> None:
    listed = re.findall(r"^\| `(Autoprompt\w+)` \|", text("README.md"), flags=re.MULTILINE)
    assert listed == [alert["alert"] for alert in alerts()]


def test_alerts_name_labels_that_their_queries_keep() -> None:
    for alert in alerts():
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", alert["expr"]))))
        kept |= {"pod"} if alert["expr"].startswith("up{") else set()
        for words in alert["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", words)) <= kept, alert["alert"]
    # By what server a refusal is counted under: autoprompt/serving/ says why in one word.
    [refused] = [a["expr"] for a in alerts() if "refused_requests" in a["expr"]]
    [reasons] = re.findall(r'why=~"([^"]+)"', refused)
    code = (ROOT / "autoprompt" / "serving" / "answering.py").read_text(encoding="utf-8")
    assert all(f'"{reason}"' in code for reason in reasons.split("|"))
    [job] = re.findall(r'job=~"\.\+/([^"]+)"', " ".join(alert["expr"] for alert in alerts()))
    assert [monitor["metadata"]["name"] for monitor in kinds("PodMonitor")] == [job]


def test_grafanas_and_prometheus_files_have_only_fields_that_exist() -> None:
    schema.Prometheus.model_validate(documents("prometheus.yaml")[0])
    schema.Datasources.model_validate(documents("grafana/datasources.yaml")[0])
    schema.Providers.model_validate(documents("grafana/dashboards.yaml")[0])
    boards = [schema.Dashboard.model_validate_json(text(f"grafana/{name}")) for name in DASHBOARDS]
    assert len({board.uid for board in boards}) == len(boards) == 2
