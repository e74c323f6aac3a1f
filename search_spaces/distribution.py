"""What the package index calls this package, and which version of it is here."""

from importlib import metadata

#: The name in pyproject.toml. What is imported, and the command, is `autoprompt`, a name that
#: belongs to another package there.
DISTRIBUTION = "autoprompt-search"


def with_extra(extra: str) -> str:
    """What to install for a feature whose packages are missing."""
    return f"'{DISTRIBUTION}[{extra}]'"


def version() -> str:
    """The version that is installed; 0+unknown of a checkout that is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0+unknown"
