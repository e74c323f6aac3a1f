"""The wheel: one name, all its files, and a user's folders are not taken for its own."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from autoprompt.search_spaces.distribution import DISTRIBUTION, with_extra
from tests.conftest import write_texts

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources alone and installed into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("autoprompt", "workers", "search_spaces"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    (source / "docs").mkdir()
    for name in ("pyproject.toml", "LICENSE", "docs/package.md"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build], check=True)
    [wheel] = folder.glob("*.whl")
    install = ["install", *offline, "--no-compile", "--target", folder / "site", wheel]
    subprocess.run([*pip, *install], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def distribution(site: Path) -> Distribution:
    [folder] = site.glob("*.dist-info")
    return Distribution.at(folder)


def files(folder: Path) -> set[str]:
    """Every file of a package, also behind links."""
    return {
        str(Path(parent, name).relative_to(folder))
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(parent).name != "__pycache__"
    }


def test_it_installs_one_name_with_every_file(site: Path) -> None:
    names = {path.name for path in site.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"autoprompt", "bin"}
    assert files(site / "autoprompt") == files(ROOT / "autoprompt")


def test_it_has_the_name_that_errors_tell_people_to_install(distribution: Distribution) -> None:
    assert distribution.metadata["Name"] == DISTRIBUTION
    extras = distribution.metadata.get_all("Provides-Extra") or []
    assert {"adapters", "encoder", "postgresql", "quantization"} <= set(extras)
    assert with_extra("adapters") == f"'{DISTRIBUTION}[adapters]'"
    for folder in ("autoprompt", "workers", "search_spaces"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"autoprompt(-\w+)?\[", text), f"{path} names an extra by itself"
            for extra in re.findall(r"with_extra\(\W(\w+)\W\)", text):
                assert extra in extras, f"{path}: no extra {extra}"


def test_it_says_what_it_is(distribution: Distribution, site: Path) -> None:
    metadata = distribution.metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])
    assert (site / "autoprompt" / "py.typed").is_file()
    text = distribution.read_text("licenses/LICENSE") or ""
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    page = metadata.get_payload()  # type: ignore[attr-defined]
    assert "pip install autoprompt-search" in page
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert [link for link in links if not link.startswith("https://")] == [], "none works there"


@pytest.mark.parametrize("command", [["-m", "autoprompt"], ["bin/autoprompt"]])
def test_the_command_and_the_module_say_the_version(site: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=site,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert done.stdout == f"autoprompt, version {project['version']}\n"


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_module_imports_a_folder_of_the_repository_by_its_bare_name(site: Path) -> None:
    roots = set()
    for path in (site / "autoprompt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                roots.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
    assert "autoprompt" in roots
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert roots & folders == {"autoprompt"}


USER = """
import workers, search_spaces, tests
assert workers.OWNER == search_spaces.OWNER == tests.OWNER == "user"
import autoprompt
print(autoprompt.__file__)
from autoprompt.cli import main
main(["spaces"], standalone_mode=False)
main(["db", "upgrade", "--db", "sqlite:///store.db"], standalone_mode=False)
from autoprompt.workers.task import TaskSpec
"""


def test_it_runs_in_a_folder_with_packages_of_the_same_names(site: Path, tmp_path: Path) -> None:
    for name in ("workers", "search_spaces", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('OWNER = "user"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USER],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(site / "autoprompt" / "__init__.py")
    assert "quick" in done.stdout
    assert (tmp_path / "store.db").is_file()


def test_three_commands_lead_to_an_answer_on_an_own_file(
    site: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    """Installed from a wheel, which was the first; no file is edited by hand in between."""
    write_texts(tmp_path / "data.csv")
    where = {"PYTHONPATH": str(site), "AUTOPROMPT_DB": f"sqlite:///{tmp_path / 'store.db'}"}
    commands = (
        ["init", "data.csv", "--model", str(tiny_folder)],
        # A search that takes seconds; what is written would do without.
        ["search", "data.yaml", "--trials", "2", "--workers", "0", "--set", "baselines=[majority]"],
    )
    for command in commands:
        done = subprocess.run(
            [sys.executable, site / "bin" / "autoprompt", *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | where,
        )
        assert done.returncode == 0, done.stderr
    assert "The prompts that vote" in done.stdout
    assert re.search(r"Test: accuracy on \d+ texts that no trial saw", done.stdout)
