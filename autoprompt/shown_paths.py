"""Paths as they may be passed on: names of files and folders, not where they lie on a machine."""

import copy
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

#: A relative path with one of these endings is a file; any other may be a Hub id.
_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".gguf", ".safetensors")

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\"<>]*[^\s'\"<>.,:;)\]]", re.IGNORECASE)
_WEB = ("http", "https", "ray", "hf")

#: An absolute path of two parts or more, or one below a home: not the slash of "and/or".
_PART = r"/[^\s/:;,'\"()<>\[\]{}|`]+"
_PATH = re.compile(rf"(?<![\w.:/~)-])(?:~[\w.-]*(?:{_PART})+|(?:{_PART}){{2,}})/?")


def shown_path(path: str) -> str:
    """What a model, an adapter or a data file is called: a Hub id as it is, else the last part."""
    local = path.startswith(("/", "~", ".")) or path.lower().endswith(_ENDINGS)
    return (PurePath(path).name or path) if local else path


def shown_data(path: str | dict[str, str | None]) -> str:
    """What a data set is called: one file or Hub id, or the files of its splits."""
    paths = [path] if isinstance(path, str) else [part for part in path.values() if part]
    return ", ".join(map(shown_path, paths))


def shown_url(url: str) -> str:
    """A URL without its user and password; of a database, or a file's, without its host and
    folders and options as well."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() in _WEB:
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    place = rest.partition("?")[0]
    return f"{scheme}://..." + (f"/{PurePath(place).name}" if "/" in place else "")


def shown_text(text: str, paths: Iterable[str] = ()) -> str:
    """A sentence, such as an error, with every absolute path and URL in it as it may be passed on.

    Args:
        paths: those known to the search, which may hold spaces.
    """
    for path in sorted(filter(None, paths), key=len, reverse=True):
        if path.startswith(("/", "~")):
            text = text.replace(path, PurePath(path).name)
    text = _URL.sub(lambda match: shown_url(match[0]), text)
    return _PATH.sub(lambda match: PurePath(match[0]).name, text)


def shown_config(config: dict[str, Any]) -> dict[str, Any]:
    """A search's stored configuration with names in the place of paths."""
    shown = copy.deepcopy(config)
    model, data, run = (shown.get(key) or {} for key in ("model", "data", "search"))
    for key in ("path", "adapter"):
        if model.get(key):
            model[key] = shown_path(model[key])
    if isinstance(data.get("path"), dict):
        data["path"] = {name: path and shown_path(path) for name, path in data["path"].items()}
    elif data.get("path"):
        data["path"] = shown_path(data["path"])
    for part in (shown.get("space") or {}).values():
        if isinstance(part, dict) and part.get("init_prompt"):
            part["init_prompt"] = _shown_all(part["init_prompt"])
    if shown.get("modules"):
        shown["modules"] = shown_path(shown["modules"])
    if run.get("ray_address"):
        run["ray_address"] = shown_text(run["ray_address"])
    return shown


def _shown_all(paths: str | list[str]) -> str | list[str]:
    return shown_path(paths) if isinstance(paths, str) else list(map(shown_path, paths))


def config_paths(config: dict[str, Any]) -> list[str]:
    """The paths that a stored configuration names."""
    model, data = config.get("model") or {}, config.get("data") or {}
    files = data.get("path")
    named = files.values() if isinstance(files, dict) else [files]
    paths = (model.get("path"), model.get("adapter"), config.get("modules"), *named)
    return [path for path in paths if path]
