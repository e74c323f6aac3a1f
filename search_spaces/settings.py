"""Keys of a YAML document said outside of it: `--set search.trials=64`."""

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any

import yaml

from autoprompt.search_spaces.errors import ConfigError

#: A key that may be a text for short -> the mapping that a text stands for.
LongForms = Mapping[str, Callable[[str], dict[str, Any]]]


def with_settings(
    content: Mapping[str, Any], settings: Sequence[str], long_forms: LongForms
) -> dict[str, Any]:
    """A document with some of its keys changed, one after another.

    Args:
        settings: each a dotted key and a YAML value, `KEY=VALUE`. Whether there is such a key is
            for whoever validates the document.

    Raises:
        ConfigError: one that is no such pair, or goes below a key that holds none.
    """
    changed = dict(content)
    for setting in settings:
        key, equals, value = setting.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, such as search.trials=64")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            told = " ".join(str(error).split())
            raise ConfigError(f"--set {setting}: the value is not valid YAML: {told}") from None
        changed = _changed(changed, names, parsed, long_forms, setting)
    return changed


def _changed(
    content: Mapping[str, Any], names: Sequence[str], value: Any, forms: LongForms, setting: str
) -> dict[str, Any]:
    first, *rest = names
    if not rest:
        return {**content, first: value}
    inner = content.get(first)
    if isinstance(inner, str) and first in forms:
        inner = forms[first](inner)
    if not isinstance(inner, dict | NoneType):
        raise ConfigError(f"--set {setting}: {first} is {inner!r} there, which has no keys")
    return {**content, first: _changed(inner or {}, rest, value, {}, setting)}
