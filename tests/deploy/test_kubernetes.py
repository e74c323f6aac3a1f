"""The manifests for Kubernetes, by what Kubernetes, KubeRay and the Prometheus operator take."""

import importlib
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

from autoprompt.config import SearchConfig
from autoprompt.serving.settings import ServeSettings
from tests.deploy.files import (
    GPU_IMAGE,
    clusters,
    documents,
    job,
    kinds,
    kubernetes,
    pods,
    search_clusters,
    service,
)

#: Whose kinds are not Kubernetes' own.
OPERATORS = {"ray.io/v1", "monitoring.coreos.com/v1"}


def test_kubernetes_own_kinds_are_what_kubernetes_asks_for() -> None:
    version = kubernetes_validate.latest_version()
    for document in kubernetes():
        if document["apiVersion"] not in OPERATORS:
            kubernetes_validate.validate(document, version, strict=True)
    for template in pods():
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}}
        kubernetes_validate.validate(pod | {"template": template}, version, strict=True)


def taken(document: dict[str, Any]) -> Any:
    """What the operator's types keep of a document: other fields are dropped."""
    kind = getattr(prometheus_operator, document["kind"]).model_validate(document)
    return kind.model_dump(mode="json", by_alias=True, exclude_unset=True)


def test_what_is_for_the_prometheus_operator_is_what_it_takes() -> None:
    found = [each for each in kubernetes() if each["apiVersion"] == "monitoring.coreos.com/v1"]
    assert {each["kind"] for each in found} == {"PodMonitor", "PrometheusRule"}
    for each in found:
        assert taken(each) == each
        misspelt = {**each, "spec": {**each["spec"], "selectors": {}}}
        assert taken(misspelt) != misspelt


def test_prometheus_scrapes_the_ports_that_pods_have() -> None:
    [monitor] = kinds("PodMonitor")
    labels = monitor["spec"]["selector"]["matchLabels"]
    chosen = [pod for pod in pods() if labels.items() <= pod["metadata"]["labels"].items()]
    assert len(chosen) == sum(1 + len(spec.workerGroupSpecs) for spec in clusters())
    for endpoint in monitor["spec"]["podMetricsEndpoints"]:
        for pod in chosen:
            [container] = pod["spec"]["containers"]
            assert endpoint["port"] in {port["name"] for port in container["ports"]}


def test_what_grows_has_the_autoscaler_that_grows_it() -> None:
    for spec in clusters():
        for group in spec.workerGroupSpecs:
            assert group.minReplicas <= group.replicas <= group.maxReplicas
        assert spec.enableInTreeAutoscaling
        # It asks Kubernetes for pods by the head's account.
        assert "automountServiceAccountToken" not in spec.headGroupSpec.template["spec"]
        for group in spec.workerGroupSpecs:
            assert group.template["spec"]["automountServiceAccountToken"] is False


def test_gpu_workers_have_the_image_for_them() -> None:
    for spec in search_clusters():
        [group] = [each for each in spec.workerGroupSpecs if each.groupName == "gpu-workers"]
        [container] = group.template["spec"]["containers"]
        assert container["image"] == GPU_IMAGE
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert group.template["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_no_pod_may_do_more_than_it_needs() -> None:
    for pod in pods():
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= set(container["resources"])
    submitter = job().submitterPodTemplate["spec"]
    assert submitter["automountServiceAccountToken"] is False
    assert submitter["restartPolicy"] == "Never"


def test_every_way_to_serve_serves_the_same() -> None:
    served = yaml.safe_load(service().serveConfigV2)
    assert served == documents("serve.yaml")[0]
    (application,) = served["applications"]
    module, _, name = application["import_path"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert set(application["args"]) <= set(ServeSettings.model_fields)


def test_the_jobs_cluster_is_the_cluster_with_the_search_mounted() -> None:
    alone, run = [spec.model_dump() for spec in search_clusters()]
    pod = run["headGroupSpec"]["template"]["spec"]
    mounted = pod["containers"][0]["volumeMounts"].pop()
    volume = pod["volumes"].pop()
    assert run == alone
    assert mounted["name"] == volume["name"]
    [config] = kinds("ConfigMap")
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    (name,) = config["data"]
    assert job().entrypoint.split()[-1] == f"{mounted['mountPath']}/{name}"


def test_the_jobs_search_is_a_search(tmp_path: Path) -> None:
    (content,) = kinds("ConfigMap")[0]["data"].values()
    (tmp_path / "search.yaml").write_text(content, encoding="utf-8")
    config = SearchConfig.read(tmp_path / "search.yaml")
    group = job().rayClusterSpec.workerGroupSpecs[0]
    cores = group.template["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    assert config.search.workers == group.replicas * int(cores)


def test_models_are_fetched_once_with_your_token() -> None:
    [claim] = kinds("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods():
        for container in pod["spec"]["containers"]:
            if not container["image"].startswith("autoprompt") or "volumeMounts" not in container:
                continue
            volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
            mounts = {
                each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]
            }
            held = mounts["/cache/huggingface"]["persistentVolumeClaim"]["claimName"]
            assert held == claim["metadata"]["name"]
            assert "emptyDir" in mounts["/cache"]
            [path] = [e["value"] for e in container["env"] if e["name"] == "HF_TOKEN_PATH"]
            secret = mounts[path.rpartition("/")[0]]["secret"]
            assert secret == {"secretName": "autoprompt-hub", "optional": True}


def test_every_path_of_the_pods_is_mounted() -> None:
    for pod in pods():
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        claims = {"data"} if "/var/lib/postgresql/data" in str(pod) else set()
        for container in pod["spec"]["containers"]:
            mounts = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", [])}
            assert set(mounts.values()) == set(volumes) | claims
            for variable in container.get("env", []):
                if not variable["value"].startswith("/run/secrets/"):
                    continue
                folder, _, file = variable["value"].rpartition("/")
                secret = volumes[mounts[folder]]["secret"]
                # Without items, a secret's keys are the files: the README makes this one.
                items = secret.get("items", [{"path": "token"}])
                assert file in [item["path"] for item in items]
