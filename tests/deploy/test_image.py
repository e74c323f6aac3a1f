"""The Dockerfile. No image is built here: that takes a Docker daemon."""

import email
import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.deploy.files import (
    DEPLOY,
    GPU_IMAGE,
    IMAGE,
    PROJECT,
    ROOT,
    compose,
    prose_commands,
    text,
)

EXTRAS = {"serve", "adapters", "quantization", "postgresql"}


def test_a_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [hadolint, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_holds_the_whole_project() -> None:
    dockerfile, ignored = text("Dockerfile"), text("Dockerfile.dockerignore")
    allowed = set(re.findall(r"^!(.+)$", ignored, flags=re.MULTILINE))
    copied = {
        name
        for line in re.findall(r"^COPY (.+) \S+$", dockerfile, flags=re.MULTILINE)
        for name in line.split()
    }
    bound = set(re.findall(r"--mount=type=bind,source=([^,]+)", dockerfile))
    assert copied | bound == allowed
    assert all((ROOT / name).exists() for name in copied | bound)
    packages = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= copied


def test_it_has_the_extras_that_run_on_a_cluster() -> None:
    [extras] = re.findall(r"\.whl\)\[([\w,]+)\]", text("Dockerfile"))
    assert set(extras.split(",")) == EXTRAS <= set(PROJECT["project"]["optional-dependencies"])


def test_its_requirements_are_the_projects(tmp_path: Path) -> None:
    """Made before the code is there, as in the image: a wheel without code asks for the same."""
    for name in ("pyproject.toml", "LICENSE", "docs/package.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", *offline, str(tmp_path)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        [metadata] = [name for name in held.namelist() if name.endswith("/METADATA")]
        asked = email.message_from_bytes(held.read(metadata)).get_all("Requires-Dist", [])
    names = {re.split(r"[\[<>=;~ ]", each)[0] for each in asked}
    wanted = PROJECT["project"]["dependencies"]
    assert {re.split(r"[\[<>=]", each)[0] for each in wanted} <= names


def test_no_root_and_a_command_that_exists() -> None:
    dockerfile = text("Dockerfile")
    last = dockerfile.rsplit("\nFROM ", 1)[1]
    assert re.findall(r"^USER (\d+)$", last, flags=re.MULTILINE) == ["1000"]
    assert "--uid 1000 " in last
    [command] = re.findall(r"^CMD (.+)$", last, flags=re.MULTILINE)
    assert json.loads(command)[0] in PROJECT["project"]["scripts"]
    # What asks for health, and what `ray up` copies files with.
    tools = re.findall(r"install --yes --no-install-recommends (.+) \\$", last, flags=re.MULTILINE)
    assert set(tools[0].split()) == {"openssh-client", "rsync", "wget"}


def test_one_python_and_two_images() -> None:
    python = re.findall(r"^FROM python:([\d.]+)-slim AS", text("Dockerfile"), flags=re.MULTILINE)
    assert PROJECT["project"]["requires-python"] == f">={python[0]}"
    tags = re.findall(r"-t (\S+)", "\n".join(prose_commands()))
    assert set(tags) == {IMAGE, GPU_IMAGE}
    build = compose().services["head"].build
    assert build is not None
    assert set(build.args) <= set(re.findall(r"^ARG (\w+)=", text("Dockerfile"), flags=re.M))
    assert importlib.util.find_spec("ray.serve")
