"""Writes what the documentation repeats: docs/cli.md, the metrics in docs/configuration.md, the
loader in docs/export.md, what was measured in README.md and docs/benchmarks.md, and the
configuration's JSON Schema, which is installed with the package. `make docs` runs it; a test fails
where it has not been run."""

import inspect
import json
import re
from pathlib import Path

import click

from autoprompt.cli import main
from autoprompt.cli.main import COMMANDS
from autoprompt.config import SearchConfig
from autoprompt.workers.metrics import METRICS
from benchmarks.bench import highlights, markdown

DOCS = Path(__file__).parent
TEMPLATES = DOCS.parent / "autoprompt" / "export" / "templates"

_HEAD = """# The command line

What `autoprompt COMMAND --help` prints. Written by `make docs`; do not edit.

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl-C. An error is one line on stderr;
`autoprompt --debug COMMAND` adds its traceback. With `--json`, stdout holds one JSON document and
nothing else. The store is `--db URL`, else `AUTOPROMPT_DB` or `AUTOPROMPT_DB_FILE`, else the
configuration's `store`, else `sqlite:///autoprompt.db`.

**Tab** completes commands and options, the names of searches in the store (of `--db`, where that
stands before), and presets, in a new terminal, once the shell is told to:

```sh
echo 'eval "$(_AUTOPROMPT_COMPLETE=bash_source autoprompt)"' >> ~/.bashrc
echo 'eval "$(_AUTOPROMPT_COMPLETE=zsh_source autoprompt)"' >> ~/.zshrc
_AUTOPROMPT_COMPLETE=fish_source autoprompt > ~/.config/fish/completions/autoprompt.fish
```
"""


def cli_page() -> str:
    """docs/cli.md."""
    parent = click.Context(main, info_name="autoprompt", terminal_width=96, **main.context_settings)
    parts = [_HEAD, _section("autoprompt", main, parent)]
    for name in COMMANDS:
        command = main.get_command(parent, name)
        assert command is not None
        parts += _sections(name, command, parent)
    return "\n".join(parts)


def _sections(name: str, command: click.Command, parent: click.Context) -> list[str]:
    """A command's section, and those of its own commands where it is a group."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=96)
    parts = [_section(context.command_path, command, context)]
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            parts += _sections(inner, found, context)
    return parts


def _section(title: str, command: click.Command, context: click.Context) -> str:
    return f"## {title}\n\n```\n{command.get_help(context)}\n```\n"


def export_page() -> str:
    """docs/export.md, with the loader as it is now."""
    page = (DOCS / "export.md").read_text(encoding="utf-8")
    for name in ("predict.py", "inputs.py", "client.py", "answers.py"):
        code = (TEMPLATES / name).read_text(encoding="utf-8")
        block = f"`{name}`:\n\n```python\n"
        page = re.sub(
            rf"{block}.*?```", lambda _, own=block + code: f"{own}```", page, flags=re.DOTALL
        )
    return page


def readme() -> str:
    """README.md, with the rows that matter most to somebody who looks at it first."""
    return _filled("../README.md", "six rows", highlights())


def benchmarks_page() -> str:
    """docs/benchmarks.md, with the last results."""
    return _filled("benchmarks.md", "make bench", markdown())


def configuration_page() -> str:
    """docs/configuration.md, with a table of the metrics there are."""
    return _filled("configuration.md", "metrics", _metrics())


def _filled(page: str, mark: str, content: str) -> str:
    """A page with what stands behind a mark."""
    text = (DOCS / page).read_text(encoding="utf-8")
    begin, end = f"<!-- {mark} -->\n", "\n<!-- until here -->"
    between = f"{begin}\n{content}\n{end}"
    return re.sub(f"{begin}.*?{end}", lambda _: between, text, count=1, flags=re.DOTALL)


def _metrics() -> str:
    rows = ["| metric | is | better | of | 95% interval |", "|---|---|---|---|---|"]
    for name in METRICS:
        metric = METRICS[name]
        said = inspect.getdoc(metric.function) or ""
        said = " ".join(said.partition("\n\n")[0].split()).rstrip(".")
        way = "more" if metric.greater_is_better else "less"
        interval = "Wilson" if metric.counts_right else "bootstrap"
        rows.append(f"| `{name}` | {said} | {way} | {metric.needs} | {interval} |")
    return "\n".join(rows)


def search_schema() -> str:
    """The JSON Schema of a search's YAML, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= SearchConfig.model_json_schema()
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


PAGES = {
    "../autoprompt/search.schema.json": search_schema,
    "cli.md": cli_page,
    "benchmarks.md": benchmarks_page,
    "configuration.md": configuration_page,
    "export.md": export_page,
    "../README.md": readme,
}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
