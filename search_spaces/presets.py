"""The spaces that ship, by name, and a space from whatever names one."""

from importlib import resources
from pathlib import Path
from typing import Any

from autoprompt.search_spaces.documents import parse, read_yaml
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.schema import Space


def preset_names() -> list[str]:
    """The names of the presets that ship with this package, sorted."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def preset_path(name: str) -> Path:
    """The file of a preset, for reading or copying.

    Raises:
        ConfigError: no preset has that name.
    """
    if name not in preset_names():
        raise ConfigError(f"no preset named {name!r}; there are: {', '.join(preset_names())}")
    return Path(str(resources.files(__package__) / f"{name}.yaml"))


def load_space(reference: str | dict[str, Any], base: Path, source: str) -> Space:
    """A space from a preset's name, a YAML file (relative to `base`), or a mapping in place.

    Args:
        reference: preset name, path ending in .yaml or .yml, or the mapping itself.
        base: the folder that relative paths start from.
        source: the name of the file holding the reference, for errors.

    Raises:
        ConfigError: no such preset or file, or it does not validate.
    """
    if isinstance(reference, dict):
        return parse(Space, reference, f"{source}: space")
    if reference.endswith((".yaml", ".yml")):
        path = base / reference
        return parse(Space, read_yaml(path), str(path))
    try:
        path = preset_path(reference)
    except ConfigError as error:
        raise ConfigError(f"{source}: space: {error}, or a path ending in .yaml") from None
    return parse(Space, read_yaml(path), str(path))
