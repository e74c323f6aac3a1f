"""What a database's URL gives away, and whether it means the same on another machine.

Each raises StoreError for what is no database's URL.
"""

from autoprompt.store.database import parse_url

#: Parts of a URL's query that libpq takes for secrets.
_SECRETS = {"password", "sslpassword"}


def holds_a_secret(url: str) -> bool:
    """Whether a URL carries a password: after the user's name, or in its query."""
    parsed = parse_url(url)
    return parsed.password is not None or bool(_SECRETS & {key.lower() for key in parsed.query})


def is_relative(url: str) -> bool:
    """Whether a URL is of a SQLite file whose place depends on the current folder, or of none."""
    parsed = parse_url(url)
    return parsed.get_backend_name() == "sqlite" and not (parsed.database or "").startswith("/")
