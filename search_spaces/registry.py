"""Names that a configuration may use: the built-in ones, and a user's own as `module:function`."""

import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar, cast

from autoprompt.search_spaces.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """What answers to a name.

    Args:
        noun: what it holds, in the singular, for errors.
        entries: the built-in ones by name, in the order in which they are listed.
    """

    def __init__(self, noun: str, entries: Mapping[str, T] | None = None) -> None:
        self.noun = noun
        self._entries = dict(entries or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

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
        """The entry of a name, or a user's own by `module:function`.

        Raises:
            ConfigError: there is none, or it cannot be imported.
        """
        if reference in self._entries:
            return self._entries[reference]
        if ":" in reference:
            return cast(T, imported(reference, self.noun))
        close = difflib.get_close_matches(reference, self._entries, n=1, cutoff=0.5)
        nearest = f"; the nearest is {close[0]}" if close else ""
        raise ConfigError(
            f"no {self.noun} named {reference!r}{nearest}; there are {', '.join(self._entries)}, "
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
    try:
        value = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # a user's module may raise anything
        gone = isinstance(error, ModuleNotFoundError)
        places = "; it is looked for beside the configuration, and where you are" if gone else ""
        raise ConfigError(
            f"{noun} {reference!r} cannot be imported: {type(error).__name__}: {error}{places}"
        ) from error
    if not callable(value):
        raise ConfigError(f"{noun} {reference!r} cannot be called: it is {type(value).__name__}")
    return value
