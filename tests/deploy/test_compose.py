"""compose.yaml, and compose.gpu.yaml over it."""

import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import jsonschema
import pytest

import autoprompt.api
from tests.deploy.files import DEPLOY, GPU_IMAGE, IMAGE, ROOT, compose, documents, kinds

#: The Compose specification, as a package has it.
SPECIFICATION = json.loads(
    (resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text(
        encoding="utf-8"
    )
)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_it_is_what_the_specification_asks_for(name: str) -> None:
    [document] = documents(name)
    jsonschema.validate(document, SPECIFICATION)
    document["services"]["worker"]["cpu"] = 2
    with pytest.raises(jsonschema.ValidationError, match="cpu"):
        jsonschema.validate(document, SPECIFICATION)


def test_no_core_is_offered_twice() -> None:
    """However many workers there are, each offers what it may use, and so does the server."""
    services = compose().services
    for name, option in (("worker", "--num-cpus"), ("serve", "--cpus-per-replica")):
        share = services[name].cpus
        assert share is not None
        assert re.fullmatch(r"\$\{[A-Z_]+:-\d+\}", share)
        assert f"{option}={share}" in (services[name].command or "")
    assert "--num-cpus=0" in (services["head"].command or "")


def test_gpus_are_laid_over_what_is_there() -> None:
    [over] = documents("compose.gpu.yaml")
    below = compose().services
    assert set(over["services"]) <= set(below)
    ours = {name for name, service in below.items() if service.image == IMAGE}
    assert {each["image"] for each in over["services"].values()} == {GPU_IMAGE}
    assert set(over["services"]) == ours
    for name in ours - {"head"}:
        [device] = over["services"][name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


def test_our_containers_may_do_no_more_than_they_need() -> None:
    for service in compose().services.values():
        if service.image == IMAGE:
            assert service.cap_drop == ["ALL"]
            assert service.security_opt == ["no-new-privileges:true"]
            assert service.init


def test_the_dashboard_finds_prometheus_and_grafana() -> None:
    services = compose().services
    head = services["head"].environment
    assert urlsplit(head["RAY_PROMETHEUS_HOST"]).hostname == "prometheus"
    assert urlsplit(head["RAY_GRAFANA_HOST"]).hostname == "grafana"
    browser = urlsplit(head["RAY_GRAFANA_IFRAME_HOST"])
    assert services["grafana"].ports == [f"{browser.hostname}:{browser.port}:{browser.port}"]
    # Ray writes its dashboards where Grafana reads them, and calls the source of data by its name.
    written = head["RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR"]
    [volume] = [v.split(":")[0] for v in services["head"].volumes if v.endswith(f":{written}")]
    (provider,) = documents("grafana/dashboards.yaml")[0]["providers"]
    [read] = [v for v in services["grafana"].volumes if v.startswith(f"{volume}:")]
    assert read.split(":")[1].startswith(provider["options"]["path"])
    (datasource,) = documents("grafana/datasources.yaml")[0]["datasources"]
    assert datasource["name"] == "Prometheus"
    assert services["grafana"].environment["GF_SECURITY_ALLOW_EMBEDDING"] == "true"


def test_prometheus_scrapes_rays_nodes_and_the_server() -> None:
    services = compose().services
    ray, served = documents("prometheus.yaml")[0]["scrape_configs"]
    (discovery,) = ray["http_sd_configs"]
    (names,) = served["dns_sd_configs"]
    assert set(names["names"]) <= set(services)
    assert services["serve"].ports[0].endswith(f":{names['port']}")
    for authorization in (discovery["authorization"], served["authorization"]):
        token = authorization["credentials_file"].removeprefix("/run/secrets/")
        assert token in services["prometheus"].secrets
    assert served["authorization"]["credentials_file"] in (services["serve"].command or "")


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
    assert len(set(content.values())) == len(files)
    made_up = set(files) - {"db_url", "hub_token"}
    assert all(re.fullmatch("[0-9a-f]{64}", content[name]) for name in made_up)

    monkeypatch.setenv("AUTOPROMPT_DB_FILE", str(files["db_url"]))
    monkeypatch.delenv("AUTOPROMPT_DB", raising=False)
    assert autoprompt.api.store_url() == content["db_url"]
    url = urlsplit(content["db_url"])
    assert url.password == content["db_password"]
    service = compose().services[url.hostname or ""]
    assert service.environment["POSTGRES_USER"] == url.username
    assert service.environment["POSTGRES_DB"] == url.path.strip("/")
    ours = kinds("Service")
    assert [each["metadata"]["name"] for each in ours] == [url.hostname]
    assert [each["port"] for each in ours[0]["spec"]["ports"]] == [url.port]
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8")


def test_the_hubs_token_is_yours_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that make_secrets.sh leaves empty is none."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for content, token in (("", None), ("hf_one\n", "hf_one")):
        (tmp_path / "token").write_text(content, encoding="utf-8")
        assert huggingface_hub.get_token() == token
    for service in compose().services.values():
        if service.image == IMAGE:
            assert service.environment["HF_TOKEN_PATH"] == "/run/secrets/hub_token"
            assert "hub_token" in service.secrets


def test_every_path_is_there() -> None:
    everything = compose()
    for service in everything.services.values():
        for volume in service.volumes:
            place = volume.split(":")[0]
            there = (DEPLOY / place).exists() if place[0] in "./" else place in everything.volumes
            assert there, volume
        assert set(service.secrets) <= set(everything.secrets)
        assert set(service.depends_on) <= set(everything.services)
        used = re.findall(r"/run/secrets/(\w+)", f"{service.environment} {service.command}")
        assert set(used) <= set(service.secrets)
    build = everything.services["head"].build
    assert build is not None
    assert ((DEPLOY / build.context).resolve() / build.dockerfile).is_file()
    command = everything.services["prometheus"].command or ""
    mounts = {volume.split(":")[1] for volume in everything.services["prometheus"].volumes}
    assert set(re.findall(r"=(/\S+)", command)) == mounts
    (provider,) = documents("grafana/dashboards.yaml")[0]["providers"]
    mounts = {volume.split(":")[1] for volume in everything.services["grafana"].volumes}
    for path in (DEPLOY / "grafana").glob("*.json"):
        assert f"{provider['options']['path']}/{path.name}" in mounts
