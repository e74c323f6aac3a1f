"""The wheel: one name, all its files, and a user's folders are not taken for its own."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources alone and installed into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("autoprompt", "workers", "search_spaces"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build], check=True)
    [wheel] = folder.glob("*.whl")
    install = ["install", *offline, "--no-compile", "--target", folder / "site", wheel]
    subprocess.run([*pip, *install], check=True)
    return folder / "site"


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
