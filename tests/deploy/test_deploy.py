"""The files of deploy/ are well formed, agree with one another, and name nothing that is not there.

What only a Docker daemon or a Kubernetes cluster could tell is not tested here.
"""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import huggingface_hub
import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.scripts.scripts import cli as ray_command

import autoprompt.api
from autoprompt.cli.main import main as autoprompt_command
from autoprompt.config import SearchConfig
from autoprompt.serving.settings import ServeSettings
from tests.deploy import schema

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
RAY = Path(ray.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)
IMAGE = f"autoprompt:{PROJECT['project']['version']}"
KUBERAY = ("cluster.yaml", "job.yaml", "service.yaml", "network.yaml", "postgresql.yaml")
#: The structure of KubeRay's own kinds.
KINDS = json.loads((Path(__file__).parent / "kuberay.json").read_text(encoding="utf-8"))

#: Variables that neither the project nor Ray reads: whose they are.
OTHERS_VARIABLES = {
    "DEVICE": "the Dockerfile's own argument",
    "SEARCHES": "compose.yaml's own",
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


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(name)))


def compose() -> schema.Compose:
    return schema.Compose.model_validate(documents("compose.yaml")[0])


def kubernetes() -> list[dict[str, Any]]:
    return [document for name in KUBERAY for document in documents(f"kuberay/{name}")]


def serving() -> schema.RayService:
    return schema.RayService.model_validate(documents("kuberay/service.yaml")[0])


def cluster_specs() -> list[schema.RayClusterSpec]:
    """The RayCluster's, then the RayJob's."""
    cluster = schema.RayCluster.model_validate(documents("kuberay/cluster.yaml")[0])
    job = schema.RayJob.model_validate(documents("kuberay/job.yaml")[1])
    return [cluster.spec, job.spec.rayClusterSpec]


def pod_templates() -> list[dict[str, Any]]:
    rays = [
        group.template
        for spec in (*cluster_specs(), serving().spec.rayClusterConfig)
        for group in (spec.headGroupSpec, *spec.workerGroupSpecs)
    ]
    return rays + [
        each["spec"]["template"] for each in kubernetes() if each["kind"] == "StatefulSet"
    ]


def containers() -> list[dict[str, Any]]:
    return [each for template in pod_templates() for each in template["spec"]["containers"]]


def ray_up() -> dict[str, Any]:
    return documents("ray-up.yaml")[0]


# Well formed


def test_the_ray_up_file_is_what_rays_own_schema_asks_for() -> None:
    path = RAY / "autoscaler" / "ray-schema.json"
    jsonschema.validate(ray_up(), json.loads(path.read_text(encoding="utf-8")))
    types = ray_up()["available_node_types"]
    assert ray_up()["head_node_type"] in types
    assert types["worker"]["max_workers"] <= ray_up()["max_workers"]


def test_kubernetes_own_kinds_are_what_kubernetes_asks_for() -> None:
    version = kubernetes_validate.latest_version()
    for document in kubernetes():
        if document["apiVersion"] != "ray.io/v1":
            kubernetes_validate.validate(document, version, strict=True)
    for template in pod_templates():
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}}
        kubernetes_validate.validate(pod | {"template": template}, version, strict=True)


def test_kuberays_kinds_are_what_its_operator_takes() -> None:
    """By the structure of its own definitions, in which nothing else may stand."""
    found = [each for each in kubernetes() if each["apiVersion"] == "ray.io/v1"]
    assert {each["kind"] for each in found} == {"RayCluster", "RayJob", "RayService"}
    for each in found:
        jsonschema.validate(each, KINDS[each["kind"]])
    broken = json.loads(json.dumps(found[0]).replace("enableInTreeAutoscaling", "autoscaling"))
    with pytest.raises(jsonschema.ValidationError, match="autoscaling"):
        jsonschema.validate(broken, KINDS[found[0]["kind"]])


def test_what_grows_has_the_autoscaler_that_grows_it() -> None:
    for spec in (*cluster_specs(), serving().spec.rayClusterConfig):
        for group in spec.workerGroupSpecs:
            assert group.minReplicas <= group.replicas <= group.maxReplicas
        assert spec.enableInTreeAutoscaling
        # It asks Kubernetes for pods by the head's account.
        assert "automountServiceAccountToken" not in spec.headGroupSpec.template["spec"]
        for group in spec.workerGroupSpecs:
            assert group.template["spec"]["automountServiceAccountToken"] is False


def test_every_way_to_serve_serves_the_same() -> None:
    served = yaml.safe_load(serving().spec.serveConfigV2)
    assert served == documents("serve.yaml")[0]
    (application,) = served["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert set(application["args"]) <= set(ServeSettings.model_fields)


def test_everything_else_has_only_fields_that_exist() -> None:
    assert compose()
    assert cluster_specs()
    schema.Prometheus.model_validate(documents("prometheus.yaml")[0])
    schema.Datasources.model_validate(documents("grafana/datasources.yaml")[0])
    schema.Providers.model_validate(documents("grafana/dashboards.yaml")[0])
    schema.Dashboard.model_validate_json(text("grafana/search.json"))


def test_the_jobs_cluster_is_the_cluster_with_the_search_mounted() -> None:
    alone, job = [spec.model_dump() for spec in cluster_specs()]
    pod = job["headGroupSpec"]["template"]["spec"]
    mounted = pod["containers"][0]["volumeMounts"].pop()
    volume = pod["volumes"].pop()
    assert job == alone
    assert mounted["name"] == volume["name"]
    config, run = documents("kuberay/job.yaml")
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    (name,) = config["data"]
    assert run["spec"]["entrypoint"].split()[-1] == f"{mounted['mountPath']}/{name}"


def test_the_jobs_search_is_a_search(tmp_path: Path) -> None:
    (content,) = documents("kuberay/job.yaml")[0]["data"].values()
    (tmp_path / "search.yaml").write_text(content, encoding="utf-8")
    config = SearchConfig.read(tmp_path / "search.yaml")
    group = cluster_specs()[1].workerGroupSpecs[0]
    cores = group.template["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    assert config.search.workers == group.replicas * int(cores)


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
            if service.healthcheck:
                yield service.healthcheck.test[1:]
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        yield from map(shlex.split, ray_up()[key])
    yield documents("kuberay/job.yaml")[1]["spec"]["entrypoint"].split()
    yield json.loads(re.findall(r"^CMD (.+)$", text("Dockerfile"), flags=re.MULTILINE)[0])
    before = r"(?:\S+=\S+ +)*(?:docker compose exec \w+ )?"
    for line in prose_commands():
        if found := re.search(rf"^{before}((?:autoprompt|ray) .+)", line):
            yield shlex.split(found[1], comments=True)


def prose_commands() -> Iterator[str]:
    """The lines of code blocks in the README, and of the comments' commands."""
    for block in re.findall(r"```\n(.*?)```", text("README.md"), flags=re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())
    for name in ("compose.yaml", "Dockerfile", "ray-up.yaml"):
        yield from re.findall(r"^#   (.+)$", text(name), flags=re.MULTILINE)


def test_every_command_exists() -> None:
    found = list(commands())
    assert {words[0] for words in found} == {"autoprompt", "ray"}
    for words in found:
        check_command(words)


def test_every_start_parameter_of_kuberay_is_an_option_of_ray_start() -> None:
    known = option_names(ray_command.commands["start"])
    for spec in cluster_specs():
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


def ray_up_variables(key: str) -> dict[str, str]:
    options = [option for option in ray_up()["docker"][key] if option.startswith("--env=")]
    return dict(option.removeprefix("--env=").split("=") for option in options)


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
    for spec in cluster_specs():
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


# Paths


def test_the_secrets_are_made_where_compose_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DEPLOY / "make_secrets.sh", tmp_path)
    for again in (False, True):
        made = subprocess.run([tmp_path / "make_secrets.sh"], check=False, capture_output=True)
        assert (made.returncode == 0) != again, "secrets that are in use were written over"
    files = {name: tmp_path / each.file for name, each in compose().secrets.items()}
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == set(files)
    content = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert len(set(content.values())) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", content[name]) for name in files if name != "db_url")

    monkeypatch.setenv("AUTOPROMPT_DB_FILE", str(files["db_url"]))
    monkeypatch.delenv("AUTOPROMPT_DB", raising=False)
    assert autoprompt.api.store_url() == content["db_url"]
    url = urlsplit(content["db_url"])
    assert url.password == content["db_password"]
    service = compose().services[url.hostname or ""]
    assert service.environment["POSTGRES_USER"] == url.username
    assert service.environment["POSTGRES_DB"] == url.path.strip("/")
    ours = [each for each in kubernetes() if each["kind"] == "Service"]
    assert [each["metadata"]["name"] for each in ours] == [url.hostname]
    assert [each["port"] for each in ours[0]["spec"]["ports"]] == [url.port]
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8")


def test_every_path_of_compose_is_there() -> None:
    everything = compose()
    for service in everything.services.values():
        for volume in service.volumes:
            place = volume.split(":")[0]
            there = (DEPLOY / place).exists() if place[0] in "./" else place in everything.volumes
            assert there, volume
        assert set(service.secrets) <= set(everything.secrets)
        assert set(service.depends_on) <= set(everything.services)
        used = re.findall(r"/run/secrets/(\w+)", str(service.environment))
        assert set(used) <= set(service.secrets)
    build = everything.services["head"].build
    assert build is not None
    assert ((DEPLOY / build.context).resolve() / build.dockerfile).is_file()
    (discovery,) = documents("prometheus.yaml")[0]["scrape_configs"][0]["http_sd_configs"]
    token = discovery["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert token in everything.services["prometheus"].secrets
    command = everything.services["prometheus"].command or ""
    mounts = {volume.split(":")[1] for volume in everything.services["prometheus"].volumes}
    assert set(re.findall(r"=(/\S+)", command)) == mounts
    (provider,) = documents("grafana/dashboards.yaml")[0]["providers"]
    mounts = {volume.split(":")[1] for volume in everything.services["grafana"].volumes}
    assert f"{provider['options']['path']}/search.json" in mounts


def test_every_path_of_the_pods_is_mounted() -> None:
    for template in pod_templates():
        pod = template["spec"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        claims = {"data"} if "/var/lib/postgresql/data" in str(pod) else set()
        for container in pod["containers"]:
            mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
            assert set(mounts.values()) == set(volumes) | claims
            for variable in container.get("env", []):
                if not variable["value"].startswith("/run/secrets/"):
                    continue
                folder, _, file = variable["value"].rpartition("/")
                items = volumes[mounts[folder]]["secret"]["items"]
                assert file in [item["path"] for item in items]


def test_the_image_holds_the_whole_project() -> None:
    dockerfile, ignored = text("Dockerfile"), text("Dockerfile.dockerignore")
    allowed = set(re.findall(r"^!(.+)$", ignored, flags=re.MULTILINE))
    copied = {
        name
        for line in re.findall(r"^COPY (.+) \S+$", dockerfile, flags=re.MULTILINE)
        for name in line.split()
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    packages = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= copied
    [extras] = re.findall(r"'\.\[([\w,]+)\]'", dockerfile)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


def test_there_is_one_image_and_one_ray() -> None:
    used = [service.image for service in compose().services.values()]
    used += [container["image"] for container in containers()] + [ray_up()["docker"]["image"]]
    ours = {image for image in used if image.startswith("autoprompt")}
    assert ours == {IMAGE}
    assert {image for image in used if image.startswith("postgres")} == {"postgres:17"}
    assert {spec.rayVersion for spec in cluster_specs()} == {PINS["ray"]}
    python = re.findall(r"^FROM python:([\d.]+)-slim$", text("Dockerfile"), flags=re.MULTILINE)
    assert PROJECT["project"]["requires-python"] == f">={python[0]}"
    tags = re.findall(r"-t (\S+)", "\n".join(prose_commands()))
    assert set(tags) == {IMAGE}


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
        for port in container["ports"]
    }
    database = named.pop("postgresql")
    served = named.pop("serve")
    assert served == services["serve"].ports[0].rpartition(":")[2]
    assert named == {"gcs-server": gcs, "dashboard": dashboard, "metrics": metrics}
    for policy in (each for each in kubernetes() if each["kind"] == "NetworkPolicy"):
        opened = [
            str(port["port"])
            for rule in policy["spec"]["ingress"]
            for port in rule.get("ports", [])
        ]
        is_ray = policy["spec"]["podSelector"]["matchLabels"]["autoprompt/part"] == "ray"
        assert opened == ([dashboard, served, metrics] if is_ray else [database])
    labels = {template["metadata"]["labels"]["autoprompt/part"] for template in pod_templates()}
    assert labels == {"ray", "postgresql"}


def test_the_readme_names_every_port_and_every_file() -> None:
    readme = text("README.md")
    published = [port.split(":")[1] for each in compose().services.values() for port in each.ports]
    inside = [str(port["containerPort"]) for each in containers() for port in each["ports"]]
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
