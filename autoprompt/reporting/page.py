"""Templates of pages and pictures, which are escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Where they are rendered."""
    return Environment(
        loader=PackageLoader("autoprompt.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
