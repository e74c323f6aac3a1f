"""Labelled texts that a program holds: a DataFrame, a data set, columns or rows.

A search reads files, so that it can be resumed, evaluated and explained by another process on
another day. What a program holds is written to one, which is named by what is in it.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import platformdirs

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data_files import SPLITS

_ACCEPTED = "a DataFrame, a datasets.Dataset, a dict of columns or a list of dicts"


def tables_folder() -> Path:
    """`AUTOPROMPT_TABLES`, else the platform's folder for a user's data."""
    return Path(
        os.environ.get("AUTOPROMPT_TABLES") or platformdirs.user_data_path("autoprompt") / "tables"
    )


def as_splits(data: Any) -> dict[str, Any]:
    """Labelled texts as `datasets.Dataset`, by split: all of them as `train`, but of a
    `datasets.DatasetDict`.

    Raises:
        DataError: they are no table, or a column holds values of several kinds.
    """
    import datasets

    if isinstance(data, datasets.DatasetDict):
        if "train" not in data:
            raise DataError(f"the data set has no train split, only {', '.join(data)}")
        return {name: data[name] for name in SPLITS if name in data}
    return {"train": as_dataset(data)}


def as_dataset(data: Any) -> Any:
    """Labelled texts as one `datasets.Dataset`.

    Raises:
        DataError: as `as_splits`.
    """
    import datasets

    if isinstance(data, datasets.Dataset):
        return data
    if not isinstance(data, (Mapping, Sequence)) and not _is_frame(data):
        raise DataError(f"labelled texts are {_ACCEPTED}, not {type(data).__name__}")
    try:
        if _is_frame(data):
            return datasets.Dataset.from_pandas(_plain(data), preserve_index=False)
        if isinstance(data, Mapping):
            return datasets.Dataset.from_dict({name: list(data[name]) for name in data})
        rows = list(data)
        if not rows or not all(isinstance(row, Mapping) for row in rows):
            raise DataError(f"labelled texts are {_ACCEPTED}; in this list not every row is a dict")
        return datasets.Dataset.from_list([dict(row) for row in rows])
    except (ValueError, TypeError) as error:  # Arrow's own are among them
        if isinstance(error, DataError):
            raise
        told = " ".join(str(error).split())
        raise DataError(f"the labelled texts cannot be read as a table: {told}") from error


def keep(dataset: Any) -> Path:
    """Write a data set to a Parquet file of its own, once; equal ones have the same.

    Raises:
        DataError: it cannot be written.
    """
    import datasets

    datasets.disable_progress_bars()
    folder = tables_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".table.", dir=folder) as staging:
            unfinished = Path(staging) / "table.parquet"
            dataset.to_parquet(str(unfinished))
            with unfinished.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            path = folder / f"{digest[:16]}.parquet"
            unfinished.replace(path)
    except OSError as error:
        raise DataError(
            f"the labelled texts cannot be kept in {folder}: {error.strerror}; name another folder "
            "by AUTOPROMPT_TABLES"
        ) from error
    return path


def _is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "dtypes")


def _plain(frame: Any) -> Any:
    """A DataFrame whose columns are named by text, and whose categories are what they stand for."""
    categories = [name for name, kind in frame.dtypes.items() if str(kind) == "category"]
    plain = frame.astype({name: frame[name].cat.categories.dtype for name in categories})
    return plain.rename(columns=str)
