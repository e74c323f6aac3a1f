"""Packages that only some searches need: the extras of pyproject.toml."""

import importlib.util

from autoprompt.search_spaces.distribution import with_extra
from autoprompt.search_spaces.errors import ConfigError


def demand(package: str, extra: str) -> None:
    """See that a package is here.

    Args:
        package: as it is imported.
        extra: that brings it.

    Raises:
        ConfigError: it is not, with what to install.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"needs {package}; install {with_extra(extra)}")
