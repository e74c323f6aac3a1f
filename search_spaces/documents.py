"""Reading YAML documents, and turning what is wrong with one into a single clear line."""

import difflib
import inspect
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from autoprompt.search_spaces.errors import ConfigError

#: A key of a class, and the lines above it that say what it is for.
_SAID_OF_KEY = re.compile(r"((?:^    #: .*\n)+)    (\w+):", re.MULTILINE)


class Document(BaseModel):
    """A part of a YAML document: unknown keys are refused, and nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The JSON Schema, which says of each key what the comment above it does."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for base in reversed(cls.__mro__):
            if issubclass(base, Document):
                for said, key in _SAID_OF_KEY.findall(inspect.getsource(base)):
                    lines = (line.strip().removeprefix("#: ") for line in said.splitlines())
                    properties.get(key, {})["description"] = " ".join(lines)
        return schema


def or_text(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of a key have its short form, too: a text in the place of a mapping."""
    schema["anyOf"] = [{"type": "string"}, {"$ref": schema.pop("$ref")}]


D = TypeVar("D", bound=Document)


class _UniqueKeyLoader(yaml.SafeLoader):
    """`yaml.safe_load`, but a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: no such file, not text, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({error})") from None
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values at the top level")
    return content


def parse(document: type[D], content: Any, source: str) -> D:
    """Validate `content` as a `document`; `source` (a file name) begins any error.

    Raises:
        ConfigError: one line with the source, the key's path, and what would do.
    """
    try:
        return document.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_first_problem(document, content, error)}") from None


#: Tags of the union in `search_spaces.dimensions`: not part of a path the user wrote.
UNION_TAGS = {"fixed", "choices", "range"}


def _first_problem(document: type[Document], content: Any, error: ValidationError) -> str:
    # An unknown key explains a missing one (a misspelling), so it is told first.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    path = [part for part in problem["loc"] if part not in UNION_TAGS]
    where = ".".join(str(part) for part in path)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = _keys_at(document, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return f"unknown key {where!r}; {hint}"
    if problem["type"] == "missing":
        return f"{where} is required"
    if problem["type"] == "value_error":
        message = str(problem["ctx"]["error"])
    else:
        message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}, not {problem['input']!r}"
    return (f"{where}: " if where else "") + message + more


def _keys_at(document: type[Document], path: list[Any]) -> list[str]:
    """The keys the document knows at a path, through optional and annotated fields."""
    current: Any = document
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        current = next(
            (member for member in _members(field.annotation) if hasattr(member, "model_fields")),
            None,
        )
    return list(getattr(current, "model_fields", {}))


def _members(annotation: Any) -> list[Any]:
    inner = [member for arg in getattr(annotation, "__args__", ()) for member in _members(arg)]
    return [annotation, *inner]
