"""The files of deploy/, read."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.deploy import schema

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IMAGE = f"autoprompt:{PROJECT['project']['version']}"
GPU_IMAGE = f"{IMAGE}-gpu"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(name)))


def compose() -> schema.Compose:
    return schema.Compose.model_validate(documents("compose.yaml")[0])


def kubernetes() -> list[dict[str, Any]]:
    return [
        document
        for path in sorted((DEPLOY / "kuberay").glob("*.yaml"))
        for document in documents(f"kuberay/{path.name}")
    ]


def kinds(kind: str) -> list[dict[str, Any]]:
    return [each for each in kubernetes() if each["kind"] == kind]


def job() -> schema.RayJobSpec:
    return schema.RayJob.model_validate(documents("kuberay/job.yaml")[1]).spec


def service() -> schema.RayServiceSpec:
    return schema.RayService.model_validate(documents("kuberay/service.yaml")[0]).spec


def search_clusters() -> list[schema.RayClusterSpec]:
    """The RayCluster's, then the RayJob's."""
    alone = schema.RayCluster.model_validate(documents("kuberay/cluster.yaml")[0]).spec
    return [alone, job().rayClusterSpec]


def clusters() -> list[schema.RayClusterSpec]:
    return [*search_clusters(), service().rayClusterConfig]


def ray_pods() -> list[dict[str, Any]]:
    """Templates of the pods that Ray runs in."""
    return [
        group.template
        for spec in clusters()
        for group in (spec.headGroupSpec, *spec.workerGroupSpecs)
    ]


def pods() -> list[dict[str, Any]]:
    """Templates of every pod."""
    sets = [each["spec"]["template"] for each in kinds("StatefulSet")]
    alone = [{"metadata": each["metadata"], "spec": each["spec"]} for each in kinds("Pod")]
    return [*ray_pods(), job().submitterPodTemplate, *sets, *alone]


def containers() -> list[dict[str, Any]]:
    return [each for template in pods() for each in template["spec"]["containers"]]


def ray_up() -> dict[str, Any]:
    return documents("ray-up.yaml")[0]


def ray_up_variables(key: str) -> dict[str, str]:
    options = [option for option in ray_up()["docker"][key] if option.startswith("--env=")]
    return dict(option.removeprefix("--env=").split("=") for option in options)


def prose_commands() -> Iterator[str]:
    """The lines of code blocks in the README, and of the comments' commands."""
    for block in re.findall(r"```\n(.*?)```", text("README.md"), flags=re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())
    for path in sorted(DEPLOY.rglob("*")):
        if path.suffix == ".yaml" or path.name == "Dockerfile":
            yield from re.findall(r"^#   (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
