"""What a shell completes: searches of the store, and preset spaces."""

import click
from click.shell_completion import CompletionItem


def searches(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The searches of the store that the command would open, newest first, behind `latest`; none
    where it cannot be opened, as a shell has no place for errors."""
    from autoprompt.search_spaces.errors import AutopromptError
    from autoprompt.store import Store
    from autoprompt.store.location import store_url

    try:
        store = Store.open(store_url(ctx.params.get("db")), create=False)
        records = [summary.search for summary in store.summaries()]
    except AutopromptError:
        return []
    items = [CompletionItem("latest", help=records[0].name)] if records else []
    items += [CompletionItem(each.name, help=f"{each.state}, {each.metric}") for each in records]
    return [item for item in items if item.value.startswith(incomplete)]


def presets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The preset spaces, with what each is for."""
    from pathlib import Path

    from autoprompt.search_spaces import load_space, preset_names

    return [
        CompletionItem(name, help=load_space(name, Path(), "spaces").description)
        for name in preset_names()
        if name.startswith(incomplete)
    ]
