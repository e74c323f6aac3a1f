"""Names that a configuration may use: the built-in ones, those that installed packages add by entry
points, and a user's own as `module:function`.

    [project.entry-points."autoprompt.metrics"]
    kappa = "my_package.scores:kappa"
"""

import difflib
import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, TypeVar, cast

from autoprompt.search_spaces.errors import ConfigError

T = TypeVar("T")

log = logging.getLogger(__name__)


class Registry(Generic[T]):
    """What answers to a name.

    Args:
        noun: what it holds, in the singular, for errors.
        entries: the built-in ones by name, in the order in which they are listed.
        group: of the entry points by which installed packages add theirs, imported when they are
            asked for, or when all are listed; a built-in one comes before one of its name.
    """

    def __init__(
        self, noun: str, entries: Mapping[str, T] | None = None, group: str | None = None
    ) -> None:
        self.noun = noun
        self._entries = dict(entries or {})
        self._group = group
        self._passed_over: set[str] = set()

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        """What installed packages add, by name, not imported."""
        found = entry_points(group=self._group) if self._group else ()
        return {each.name: each for each in found if each.name not in self._entries}

    def __iter__(self) -> Iterator[str]:
        """The names of all that can be had; a plugin that cannot be imported is passed over, and
        logged once."""
        for name in self._plugins.keys() - self._passed_over:
            try:
                self._plugin(name)
            except ConfigError as error:
                self._passed_over.add(name)
                log.warning("passed over: %s", error)
        able = [name for name in self._plugins if name not in self._passed_over]
        return iter([*self._entries, *able])

    def _plugin(self, name: str) -> T:
        plugin = self._plugins[name]
        package = f" of the package {plugin.dist.name}" if plugin.dist else ""
        return cast(T, _callable(f"{self.noun} {name!r}{package}", plugin.load))

    def add(self, name: str, entry: T) -> T:
        """Let an entry answer to a name, until the process ends.

        Raises:
            ConfigError: the name is taken, or holds a colon.
        """
        if name in self._entries or ":" in name:
            raise ConfigError(f"no {self.noun} can be added as {name!r}: the name is taken or odd")
        self._entries[name] = entry
        return entry

    def __getitem__(self, reference: str) -> T:
        """The entry of a name, a plugin's by its own, or a user's own by `module:function`.

        Raises:
            ConfigError: there is none, or it cannot be imported.
        """
        if reference in self._entries:
            return self._entries[reference]
        if reference in self._plugins:
            return self._plugin(reference)
        if ":" in reference:
            return cast(T, imported(reference, self.noun))
        names = [*self._entries, *self._plugins]
        close = difflib.get_close_matches(reference, names, n=1, cutoff=0.5)
        nearest = f"; the nearest is {close[0]}" if close else ""
        raise ConfigError(
            f"no {self.noun} named {reference!r}{nearest}; there are {', '.join(names)}, "
            "and your own as module:function"
        )


def look_in(folder: Path | str) -> None:
    """Let a user's own modules be imported from a folder, after all that is installed."""
    path = str(Path(folder).absolute())
    if path not in sys.path and Path(path).is_dir():
        sys.path.append(path)


def imported(reference: str, noun: str) -> object:
    """What `module:name` stands for; modules in the working directory are found, too.

    Raises:
        ConfigError: the module cannot be imported, has no such name, or it cannot be called.
    """
    module_name, _, name = reference.partition(":")
    look_in(Path.cwd())
    importlib.invalidate_caches()  # a file may be newer than what was listed of its folder
    return _callable(
        f"{noun} {reference!r}",
        lambda: getattr(importlib.import_module(module_name), name),
        "; it is looked for beside the configuration, and where you are",
    )


def _callable(what: str, load: Callable[[], object], places: str = "") -> object:
    """What is loaded, which can be called.

    Args:
        what: it is, for errors.
        places: where it was looked for.

    Raises:
        ConfigError: it cannot be imported, or not be called.
    """
    try:
        value = load()
    except Exception as error:  # a user's module may raise anything
        told = places if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError(
            f"{what} cannot be imported: {type(error).__name__}: {error}{told}"
        ) from error
    if not callable(value):
        raise ConfigError(f"{what} cannot be called: it is {type(value).__name__}")
    return value
