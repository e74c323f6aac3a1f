"""The configuration of a search that is begun from Python: a YAML file, or labelled texts that the
program holds, with keyword arguments in the place of the YAML."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.preparation.first_config import DEFAULT_MODEL, TRIALS, first_config
from autoprompt.preparation.guessed_task import guessed
from autoprompt.preparation.tables import as_splits, keep
from autoprompt.search_spaces.errors import ConfigError, DataError
from autoprompt.workers.columns import columns_as_text
from autoprompt.workers.data_files import FORMATS, head_of, is_file, read_table

#: What errors call the configuration.
SOURCE = "search()"


def given_config(
    data: Any,
    text: str | None = None,
    label: str | None = None,
    model: Any = None,
    settings: Mapping[str, Any] | None = None,
) -> SearchConfig:
    """The configuration of what `autoprompt.search` was given, as its docstring has it.

    Raises:
        BadInputError: it will not do; nothing is written.
    """
    own = {"text": text, "label": label}
    named = {f"data.{key}": column for key, column in own.items() if column is not None}
    given = dict(settings or {})
    if model is not None:
        given["model"] = os.fspath(model) if isinstance(model, os.PathLike) else model
    if isinstance(data, SearchConfig):
        if given or named:
            raise ConfigError(
                f"{SOURCE}: {next(iter([*named, *given]))}: a SearchConfig says it all; change it "
                "there, or give the labelled texts or a YAML file"
            )
        return data
    if not isinstance(data, (str, os.PathLike)):
        return _table_config(as_splits(data), "the table", text, label, given)
    if is_file(str(data)):
        file = Path(data).expanduser().absolute()
        return _table_config({"train": read_table(file)}, str(file), text, label, given)
    if Path(data).suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(
            f"{data}: neither a YAML file nor labelled texts in a file ({', '.join(FORMATS)})"
        )
    return SearchConfig.read(Path(data), [*map(_setting, named.items()), *_settings(given)])


def laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with other values of some keys; of a key that holds a mapping on both sides,
    with those of its own keys."""
    laid = dict(base)
    for key, value in given.items():
        both = isinstance(laid.get(key), Mapping) and isinstance(value, Mapping)
        laid[key] = {**laid[key], **value} if both else value
    return laid


def _settings(given: Mapping[str, Any]) -> list[str]:
    """Keyword arguments as `SearchConfig.read` takes them: those in a mapping one by one."""
    pairs: list[tuple[str, Any]] = []
    for key, value in given.items():
        if isinstance(value, Mapping):
            pairs += [(f"{key}.{inner}", own) for inner, own in value.items()]
        else:
            pairs.append((key, value))
    return list(map(_setting, pairs))


def _setting(pair: tuple[str, Any]) -> str:
    key, value = pair
    return f"{key}={json.dumps(value)}"


def _table_config(
    splits: Mapping[str, Any],
    source: str,
    text: str | None,
    label: str | None,
    given: Mapping[str, Any],
) -> SearchConfig:
    """What is not said is as `autoprompt init` would write it.

    Args:
        source: the file that holds the texts, or what errors call them: then they are kept in files
            of the user's, once it is known that the columns will do.
    """
    begun = {"model": DEFAULT_MODEL} | _begun(splits["train"], source, text, label, given)
    content = laid_over(begun, given)
    content["data"]["path"] = source if is_file(source) else "table.parquet"
    config = SearchConfig.of(content, SOURCE)
    if not is_file(source):
        files = {name: str(keep(split)) for name, split in splits.items()}
        content["data"]["path"] = files if len(files) > 1 else files["train"]
        config = SearchConfig.of(content, SOURCE)
    return config if config.name else config.replaced(name=_name(config.data.label))


def _begun(
    table: Any, source: str, text: str | None, label: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What the columns say: data, task, and what is searched how often."""
    search = {"space": "quick", "search": {"trials": TRIALS}}
    task = given.get("task", {})
    for name in (text, label):
        if name is not None and name.split(".")[0] not in table.column_names:
            raise DataError(f"{source}: no column {name!r}; it has {', '.join(table.column_names)}")
    named = {"text": text, "label": label}
    data: dict[str, Any] = {key: name for key, name in named.items() if name is not None}
    if isinstance(task, str) or "answers" in task:
        return {"data": data, "task": task, **search}
    _refuse_fractions(table, source, label)
    if _asks_otherwise(table, text, label):
        return {"data": data, "task": {"answers": "auto"}, **search}
    first = first_config(columns_as_text(table, source), source, text, label)
    data |= {"text": first.text, "label": first.label}
    data |= {"sizes": first.sizes, "balanced": first.balanced}
    words: dict[str, Any] = {"label_words": first.words, "label_scoring": first.scoring}
    if "label_words" in task:
        words = {}
    return {"data": data, "task": {"template": first.template, **words}, **search}


def _asks_otherwise(table: Any, text: str | None, label: str | None) -> bool:
    """Whether the columns look like another task than labels of one text."""
    found = guessed("auto", head_of(table), text or "text", label or "label")
    if found is None or (text is not None and found["answers"] == "label_words"):
        return False
    return found["answers"] != "label_words" or found["template"].count("{") > 1


def _refuse_fractions(table: Any, source: str, label: str | None) -> None:
    """Floats are measured rather than named."""
    name = label or "label"
    kind = str(getattr(table.features.get(name), "dtype", ""))
    if kind.startswith("float"):
        some = next((cell for cell in table[name] if cell is not None), None)
        raise DataError(
            f"{source}: column {name!r} holds floats, such as {some}, and labels are names: give "
            f"those as text, as df[{name!r}].astype(int).astype(str); to predict the number say "
            "task={'answers': 'scale', 'label_words': {'1': 'bad', '5': 'good'}}"
        )


def _name(label: str) -> str:
    """A search's name where none is given: its label's, if that may be one."""
    return label if label.strip() and not label.isdigit() and label != "latest" else "table"
