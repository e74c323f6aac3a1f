"""Which database a process uses."""

import os
from pathlib import Path

from autoprompt.search_spaces.errors import StoreError
from autoprompt.store.database import DEFAULT_URL
from autoprompt.store.urls import is_relative


def in_ray_job() -> bool:
    """Whether this process is the command of a Ray job."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def store_url(db: str | None = None, configured: str | None = None) -> str:
    """The database's URL: what was asked for, else AUTOPROMPT_DB, else what the file that
    AUTOPROMPT_DB_FILE names holds, else the configuration's, else autoprompt.db in the current
    folder.

    Raises:
        StoreError: the file is not there or empty; or a Ray job would write a file that is deleted
            with it.
    """
    url = db or os.environ.get("AUTOPROMPT_DB") or _from_file() or configured or DEFAULT_URL
    if in_ray_job() and is_relative(url):
        raise StoreError(
            "the job has no database: a file in its folder is deleted with it; set AUTOPROMPT_DB "
            "or AUTOPROMPT_DB_FILE on the cluster, or say `store` without a password"
        )
    return url


def _from_file() -> str | None:
    name = os.environ.get("AUTOPROMPT_DB_FILE")
    if not name:
        return None
    try:
        url = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"AUTOPROMPT_DB_FILE: {name} cannot be read ({error})") from None
    if not url:
        raise StoreError(f"AUTOPROMPT_DB_FILE: {name} is empty; write the database's URL into it")
    return url
