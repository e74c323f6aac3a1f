"""The files of deploy/ agree with one another, and name nothing that is not there.

What only a Docker daemon, a Kubernetes cluster or a cloud could tell is not tested here.
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import click
import huggingface_hub
import pytest
import ray
from ray.scripts.scripts import cli as ray_command

from autoprompt.cli.main import main as autoprompt_command
from tests.deploy.files import (
    DEPLOY,
    GPU_IMAGE,
    IMAGE,
    ROOT,
    clusters,
    compose,
    containers,
    documents,
    job,
    kinds,
    kubernetes,
    pods,
    prose_commands,
    ray_pods,
    ray_up,
    ray_up_variables,
    search_clusters,
    text,
)

RAY = Path(ray.__file__).parent
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)

#: Variables that neither the project nor Ray reads: whose they are.
OTHERS_VARIABLES = {
    "DEVICE": "the Dockerfile's own argument",
    "SEARCHES": "compose.yaml's own",
    "SERVE_CPUS": "compose.yaml's own",
    "TORCH_INDEX": "the Dockerfile's own argument",
    "WORKER_CPUS": "compose.yaml's own",
    "GF_ANALYTICS_REPORTING_ENABLED": "Grafana",
    "GF_SECURITY_ADMIN_PASSWORD__FILE": "Grafana",
    "GF_SECURITY_ALLOW_EMBEDDING": "Grafana",
    "PGDATA": "PostgreSQL",
    "PIP_DISABLE_PIP_VERSION_CHECK": "pip",
    "PIP_NO_CACHE_DIR": "pip",
    "POSTGRES_DB": "PostgreSQL",
    "POSTGRES_PASSWORD_FILE": "PostgreSQL",
    "POSTGRES_USER": "PostgreSQL",
    "PYTHONUNBUFFERED": "Python",
}


# Commands


def option_names(command: click.Command) -> set[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def check_command(words: list[str]) -> None:
    """Hold an `autoprompt` or `ray` command against the real one: subcommands and options."""
    command = {"autoprompt": autoprompt_command, "ray": ray_command}[words[0]]
    context = click.Context(command)
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, shlex.join(words)
        command, rest = found, rest[1:]
    used = {word.split("=")[0] for word in rest if word.startswith("-")}
    assert used <= option_names(command) | {"--help"}, shlex.join(words)


def commands() -> Iterator[list[str]]:
    for service in compose().services.values():
        if service.image == IMAGE:
            yield shlex.split(service.command or "")
            if service.healthcheck and service.healthcheck.test[1] != "wget":
                yield service.healthcheck.test[1:]
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        yield from map(shlex.split, ray_up()[key])
    yield job().entrypoint.split()
    yield json.loads(re.findall(r"^CMD (.+)$", text("Dockerfile"), flags=re.MULTILINE)[0])
    before = r"(?:\S+=\S+ +)*(?:docker compose exec \w+ |kubectl exec \S+ -- )?"
    for line in prose_commands():
        if found := re.search(rf"^{before}((?:autoprompt|ray) .+)", line):
            yield shlex.split(found[1], comments=True)


def test_every_command_exists() -> None:
    found = list(commands())
    assert {words[0] for words in found} == {"autoprompt", "ray"}
    for words in found:
        check_command(words)


def test_every_start_parameter_of_kuberay_is_an_option_of_ray_start() -> None:
    known = option_names(ray_command.commands["start"])
    for spec in clusters():
        for group in (spec.headGroupSpec, *spec.workerGroupSpecs):
            assert {f"--{name}" for name in group.rayStartParams} <= known


# Variables


@cache
def source(package: str) -> str:
    """All Python text of an installed package, or of the project."""
    folders = {
        "autoprompt": [ROOT / name for name in ("autoprompt", "workers", "search_spaces")],
        "huggingface_hub": [Path(huggingface_hub.__file__).parent],
        "ray": [
            Path(ray.__file__).parent / name
            for name in ("_private", "_common", "exceptions.py", "dashboard/modules/metrics")
        ],
    }[package]
    files = [file for path in folders for file in (path.rglob("*.py") if path.is_dir() else [path])]
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def variables() -> dict[str, str]:
    """Every environment variable that a file of deploy/ sets, with its value."""
    found: dict[str, str] = {}
    for service in compose().services.values():
        found |= service.environment | (service.build.args if service.build else {})
    for container in containers():
        found |= {each["name"]: each["value"] for each in container.get("env", [])}
    found |= ray_up_variables("run_options") | ray_up_variables("head_run_options")
    for line in re.findall(r"^(?:ENV|ARG) (.+)$", text("Dockerfile"), flags=re.MULTILINE):
        found |= dict(pair.split("=") for pair in line.split())
    for name, value in re.findall(r"\b([A-Z][A-Z_]+)=(\S*)", "\n".join(prose_commands())):
        found[name] = value
    return found


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_variable_is_read_by_someone(name: str) -> None:
    if name not in OTHERS_VARIABLES:
        reader = {"AUTOPROMPT": "autoprompt", "RAY": "ray", "HF": "huggingface_hub"}
        assert re.search(rf"\b{name}\b", source(reader[name.split("_")[0]])), name


def test_no_secret_is_written_down() -> None:
    """What could hold one names a file instead, and no Secret is in the repository."""
    for name, value in variables().items():
        if re.search("TOKEN|PASSWORD|SECRET|DB|URL|KEY", name) and name != "POSTGRES_DB":
            assert name.endswith(("_FILE", "_PATH")), name
            assert value.startswith(("/", "secrets/", "deploy/secrets/")), name
    assert "Secret" not in {document["kind"] for document in kubernetes()}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "secrets" not in path.relative_to(DEPLOY).parts:
            content = path.read_text(encoding="utf-8")
            assert not re.search(r"://[^/\s:'\"]+:[^@\s%'\"]+@", content), path


def test_the_databases_url_reaches_the_head_alone() -> None:
    variable, secret = "AUTOPROMPT_DB_FILE", "db_url"
    head, worker = compose().services["head"], compose().services["worker"]
    assert variable in head.environment
    assert variable not in worker.environment
    assert secret in head.secrets
    assert secret not in worker.secrets
    for spec in search_clusters():
        assert variable in str(spec.headGroupSpec.template)
        assert all(variable not in str(group.template) for group in spec.workerGroupSpecs)
        assert all("autoprompt-db" not in str(group.template) for group in spec.workerGroupSpecs)
    # What `ray up` mounts, and what the head passes on, lies on every machine.
    ours = ray_up()
    assert secret not in str(ours["file_mounts"]) + str(ours.get("cluster_synced_files"))
    assert variable not in ray_up_variables("run_options")
    [command] = re.findall(r"^#   ray rsync-up (.+)$", text("ray-up.yaml"), flags=re.MULTILINE)
    file, _, target = shlex.split(command)
    assert file == "deploy/ray-up.yaml"
    assert target == ray_up_variables("head_run_options")[variable]


# Ports


def option(command: str, name: str) -> str:
    return re.findall(rf"--{name}=(\S+)", command)[0]


def test_the_ports_agree() -> None:
    services = compose().services
    head, worker = services["head"].command or "", services["worker"].command or ""
    gcs, dashboard = option(head, "port"), option(head, "dashboard-port")
    metrics = option(head, "metrics-export-port")
    assert option(worker, "metrics-export-port") == metrics
    assert option(worker, "address") == f"head:{gcs}"
    assert services["head"].healthcheck is not None
    assert services["head"].healthcheck.test[-1] == f"head:{gcs}"
    assert services["head"].ports == [f"127.0.0.1:{dashboard}:{dashboard}"]
    (discovery,) = documents("prometheus.yaml")[0]["scrape_configs"][0]["http_sd_configs"]
    assert discovery["url"] == f"http://head:{dashboard}/api/prometheus/sd"
    (datasource,) = documents("grafana/datasources.yaml")[0]["datasources"]
    assert urlsplit(datasource["url"]).hostname in services

    ours = ray_up()
    start = " ".join(ours["head_start_ray_commands"])
    join = " ".join(ours["worker_start_ray_commands"])
    assert option(start, "port") == option(join, "address").rpartition(":")[2] == gcs
    assert option(start, "dashboard-port") == dashboard
    assert option(start, "dashboard-host") == "127.0.0.1"
    assert {option(start, "metrics-export-port"), option(join, "metrics-export-port")} == {metrics}

    named = {
        port["name"]: str(port["containerPort"])
        for container in containers()
        for port in container.get("ports", [])
    }
    database = named.pop("postgresql")
    served = named.pop("serve")
    assert served == services["serve"].ports[0].rpartition(":")[2]
    assert named == {"gcs-server": gcs, "dashboard": dashboard, "metrics": metrics}
    for policy in kinds("NetworkPolicy"):
        opened = [
            str(port["port"])
            for rule in policy["spec"]["ingress"]
            for port in rule.get("ports", [])
        ]
        is_ray = policy["spec"]["podSelector"]["matchLabels"]["autoprompt/part"] == "ray"
        assert opened == ([dashboard, served, metrics] if is_ray else [database])
    labels = {pod["metadata"]["labels"]["autoprompt/part"] for pod in pods()}
    assert labels == {"ray", "submitter", "results", "postgresql"}
    assert {pod["metadata"]["labels"]["autoprompt/part"] for pod in ray_pods()} == {"ray"}
    # Whoever has the database's URL is let in to the database.
    [policy] = [
        each
        for each in kinds("NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"]["autoprompt/part"] == "postgresql"
    ]
    sources = [each["podSelector"]["matchLabels"] for each in policy["spec"]["ingress"][0]["from"]]
    let_in = {source["autoprompt/part"] for source in sources}
    assert let_in == {
        pod["metadata"]["labels"]["autoprompt/part"]
        for pod in pods()
        if "AUTOPROMPT_DB_FILE" in str(pod)
    }


def test_there_are_two_images_and_one_ray() -> None:
    used = [service.image for service in compose().services.values()]
    used += [container["image"] for container in containers()] + [ray_up()["docker"]["image"]]
    assert {image for image in used if image.startswith("autoprompt")} == {IMAGE, GPU_IMAGE}
    assert {image for image in used if image.startswith("postgres")} == {"postgres:17"}
    assert {spec.rayVersion for spec in clusters()} == {PINS["ray"]}


def test_the_readme_names_every_port_and_every_file() -> None:
    readme = text("README.md")
    published = [port.split(":")[1] for each in compose().services.values() for port in each.ports]
    inside = [str(port["containerPort"]) for each in containers() for port in each.get("ports", [])]
    for port in {*published, *inside}:
        assert f"| {port} |" in readme, port
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name != "README.md" and "secrets" not in path.parts:
            name = path.relative_to(DEPLOY).as_posix()
            assert name.removesuffix(".dockerignore") in readme, name
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert link.startswith("https://") or (DEPLOY / link).exists(), link


def test_the_script_is_executable() -> None:
    assert os.access(DEPLOY / "make_secrets.sh", os.X_OK)
