"""A search's YAML to begin with, from a file of labelled texts."""

import json
import os
import re
from pathlib import Path

import yaml

from autoprompt.config import SearchConfig
from autoprompt.new_files import made_whole
from autoprompt.preparation.first_config import DEFAULT_MODEL, TRIALS, FirstConfig, first_config
from autoprompt.workers.columns import columns_as_text
from autoprompt.workers.data_files import SPLITS, read_table

#: By which editors complete the file; it is installed with the package.
_SCHEMA = Path(__file__).parents[1] / "search.schema.json"


def write_first_yaml(
    data: Path,
    out: Path,
    text: str | None = None,
    label: str | None = None,
    model: str | None = None,
) -> SearchConfig:
    """Write a new YAML file whose search runs as it is.

    Args:
        data: a CSV, TSV, JSON lines or Parquet file.
        text, label: the columns; without them, what their names and cells look like.
        model: a Hub id or a path.

    Raises:
        BadInputError: the file exists, the columns cannot be told, or a search would refuse the
            data; nothing is written.
    """
    with made_whole(out, "--out") as unfinished:
        columns = columns_as_text(read_table(data), str(data))
        first = first_config(columns, str(data), text, label)
        unfinished.write_text(_first_yaml(data, out, first, model), encoding="utf-8")
        here = f"data.path={json.dumps(str(data.absolute()))}"
        config = SearchConfig.read(unfinished, [here])
        config.splits()
    return config


def _first_yaml(data: Path, out: Path, first: FirstConfig, model: str | None) -> str:
    here = out.absolute().parent
    listed = "\n".join(f"    {_scalar(name)}: {_scalar(own)}" for name, own in first.words.items())
    sizes = ", ".join(f"{name}: {first.sizes[name]}" for name in SPLITS)
    return f"""\
# yaml-language-server: $schema={_SCHEMA.as_uri()}
# How is a frozen model best asked for the labels of the {first.texts} different texts in
# {data.name}? Run it as it is, or change what you know better:
#
#   autoprompt search {out.name}

# A Hub id, a folder that save_pretrained wrote, or a .gguf file.
model: {_scalar(_from(here, model) if model else DEFAULT_MODEL)}

data:
  path: {_scalar(_from(here, str(data)))}
  text: {_scalar(first.text)}  # the column that the template calls {{text}}
  label: {_scalar(first.label)}
  # Prompts learn from train, trials are compared on validation, and test is opened once, at the
  # end. Numbers of texts, or fractions of all.
  sizes: {{{sizes}}}
  balanced: {str(first.balanced).lower()}  # as many texts of each label in every split

task:
  # What the model reads of each text; its answer follows. Say it as you would to a colleague.
  # Other columns stand by their names in braces.
  template: {json.dumps(first.template)}
  # Each label in the data, and the word that the model should say for it; or several, of which any
  # will do: [good, great].
  label_words:
{listed}
  label_scoring: {first.scoring}  # how words of several tokens are judged
  metric: accuracy  # or macro_f1, mcc, log_loss, ...

# What may be searched: `autoprompt spaces` lists the presets, and prints one to copy.
space: quick

search:
  trials: {TRIALS}
  workers: 1  # trials at a time; each worker holds the model
  seed: 0
"""


def _from(folder: Path, written: str) -> str:
    """A relative path as seen from a folder; another, or a Hub id, as it is."""
    path = Path(written).expanduser()
    if path.is_absolute() or not path.exists():
        return written
    return os.path.relpath(path.absolute(), folder)


def _scalar(text: str) -> str:
    """A text as YAML reads it back: plain where that may be."""
    plain = re.fullmatch(r"[\w./][\w ./-]*", text) and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)
