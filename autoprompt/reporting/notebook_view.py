"""How a notebook shows a search: what it found, in a few rows."""

from autoprompt.reporting.page import environment
from autoprompt.shown_paths import shown_path
from autoprompt.stored_search import StoredSearch

#: Trials that are shown.
_LEADERS = 5


def notebook_view(result: StoredSearch) -> str:
    """HTML without scripts or styles of its own, of a search in any state."""
    tested = result.test or {}
    named = {"no_prompt": "the template alone", "best": "best prompt", "ensemble": "ensemble"}
    page = environment()
    page.filters |= {"score": "{:.4f}".format}
    return page.get_template("notebook.html.j2").render(
        search=result,
        model=shown_path(result.record.model),
        counts=", ".join(f"{count} {state}" for state, count in result.counts.items() if count),
        leaders=result.leaders(_LEADERS),
        texts=tested.get("texts"),
        tested=[(title, tested[key]) for key, title in named.items() if key in tested],
        warnings=result.record.warnings or [],
    )
