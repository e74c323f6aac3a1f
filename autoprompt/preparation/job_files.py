"""The files that travel with a job: packed where it is submitted, found again where it runs.

What is stored of a search keeps the paths it was submitted with, so that `resume` and `predict`
find the same files later on the machine it came from. Inside the job, a file that travelled lies
under the folder that `AUTOPROMPT_FILES` names, at its old absolute path, and stands in for it. A
`..` in that path is a folder of another name there, so that nothing lies outside the job's folder.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import BadInputError, DataError
from autoprompt.workers.data_spec import Paths

#: Ray's job server takes 100 MiB in one upload; the last of them is left for the archive itself.
LIMIT_MIB = 99

VARIABLE = "AUTOPROMPT_FILES"
FOLDER = "files"
CONFIG = "search.yaml"


def check_data(config: SearchConfig) -> None:
    """Read the data where it is here, so that what is wrong with it is told before anything starts.

    Raises:
        DataError: as `SearchConfig.splits`.
    """
    path = config.data.under(config.base).path
    files = (
        [file for file in path.model_dump().values() if file] if isinstance(path, Paths) else [path]
    )
    if all(Path(file).is_file() for file in files):
        config.splits()


def pack(config: SearchConfig, store: str | None, folder: Path) -> list[str]:
    """Fill a folder with the configuration and its local files: a job's working directory.

    Args:
        store: the database's URL that the job is told, if any.

    Returns:
        A line for each path that is left to the cluster.

    Raises:
        DataError: a relative path that is not here.
        BadInputError: the files are too large to travel.
    """
    content = config.to_store()
    if store is not None:
        content["store"] = store
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / CONFIG).write_text(text, encoding="utf-8")
    _copy_modules(config, folder)
    room, left = LIMIT_MIB << 20, []
    for path, given in _local(config):
        files = _files(path)
        size = sum(file.stat().st_size for file in files)
        if files and size <= room:
            room -= size
            for file in files:
                target = _staged(folder / FOLDER, file)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        elif files and not Path(given).expanduser().is_absolute():
            raise BadInputError(
                f"{path}: {size / (1 << 20):.0f} MiB are too much to travel with a job, which "
                f"carries {LIMIT_MIB} MiB in all; put it where every node of the cluster reads it, "
                "and give its absolute path there"
            )
        elif files:
            left.append(
                f"{path} ({size / (1 << 20):.0f} MiB) is too large to travel: the cluster needs it "
                "at that path"
            )
        else:
            left.append(f"{path} is not here: the cluster needs it at that path")
    return left


def _copy_modules(config: SearchConfig, folder: Path) -> None:
    """The user's own modules: a file or a package each, laid beside the configuration. What is not
    in the user's folder, nor where they are, is for the cluster to have."""
    for name in {module.split(".")[0] for module in config.own_modules}:
        for home in (config.modules_folder, config.base, Path.cwd()):
            if (home / f"{name}.py").is_file():
                shutil.copyfile(home / f"{name}.py", folder / f"{name}.py")
                break
            if (home / name / "__init__.py").is_file():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(home / name, folder / name, ignore=ignored)
                break


def unpacked(config: SearchConfig) -> SearchConfig:
    """The same search, with the files that travelled with the job in the place of those it names.

    Outside a job, and for files that did not travel, nothing changes.
    """

    def place(path: str) -> str:
        return str(travelled(Path(path))) if Path(path).is_absolute() else path

    data = config.data.under(config.base).path
    if isinstance(data, Paths):
        files = {name: place(path) for name, path in data.model_dump().items() if path}
        data = data.model_copy(update=files)
    else:
        data = place(data)
    adapter, writer = config.model.adapter, config.writer
    config = config.with_paths(data, place(config.model.path), adapter and place(adapter))
    return config.with_writer(writer and place(writer))


def travelled(path: Path) -> Path:
    """Where a file of an absolute path lies: inside a job, where it travelled to, if it did."""
    folder = os.environ.get(VARIABLE)
    staged = _staged(Path(folder).absolute(), path) if folder else path
    return staged if staged.exists() else path


def _staged(root: Path, path: Path) -> Path:
    """Where a file of an absolute path lies below `root`, whatever the path holds."""
    return root.joinpath(*map(_inside, path.relative_to(path.anchor).parts))


def _inside(part: str) -> str:
    """`..` under a name that leads nowhere: `.._`, and what was called that `..__`, and so on."""
    return f"{part}_" if part.rstrip("_") == ".." else part


def _local(config: SearchConfig) -> Iterator[tuple[Path, str]]:
    """What is named by path: where that is here, and how it was written.

    Raises:
        DataError: a relative path that is not here.
    """
    written, absolute = config.data.path, config.data.under(config.base).path
    if isinstance(written, Paths):
        names = Paths.model_fields
        pairs = [(getattr(absolute, name), getattr(written, name)) for name in names]
    else:
        pairs = [(str(absolute), written)]
    pairs += [(file, written) for written, file in config.prompt_files.items()]
    for path, given in pairs:
        if path and Path(path).is_absolute():
            if not (Path(path).exists() or Path(given).expanduser().is_absolute()):
                raise DataError(f"{path}: no such file")
            yield Path(path), given
    if config.model.is_local:
        yield Path(config.model.path).expanduser().absolute(), config.model.path
    if config.model.adapter is not None:
        yield Path(config.model.adapter).expanduser().absolute(), config.model.adapter
    hard = config.space.hard
    if config.writer and hard and hard.writer and Path(config.writer).is_absolute():
        yield Path(config.writer), hard.writer


def _files(path: Path) -> list[Path]:
    """The file itself, or a model's files in its folder; not what Git and others keep below it."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
    return [path] if path.is_file() else []
