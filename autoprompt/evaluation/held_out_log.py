"""Held-out texts are opened on the record: who, when, what for, and whether for the first time."""

from autoprompt.progress import SearchProgress
from autoprompt.store import SearchRecord, Store
from autoprompt.versions import user_and_host
from autoprompt.workers.data import Split


def open_texts(
    store: Store,
    search: SearchRecord,
    source: str,
    texts: Split,
    purpose: str,
    progress: SearchProgress,
) -> int:
    """Record that texts which no trial saw are about to be scored, and say so where it is not the
    first time; the opening's id.

    Args:
        source: test, or a file or Hub id.
        purpose: the command.
    """
    before = store.evaluations(fingerprint=texts.fingerprint)
    own = [opening for opening in before if opening.search == search.name]
    if own:
        last = own[-1]
        progress.say(
            f"note: {source} was opened for this search before, last by {last.opened_by} on "
            f"{last.opened_at:%Y-%m-%d %H:%M} UTC; this is opening {len(own) + 1}, and recorded"
        )
    others = sorted({opening.search for opening in before} - {search.name})
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if others[3:] else "")
        progress.say(
            f"note: these texts of {source} were opened before, for {shown}; a choice made with "
            "those scores in mind is no longer blind to them"
        )
    return store.open_evaluation(
        search.id,
        source=source,
        fingerprint=texts.fingerprint,
        purpose=purpose,
        opened_by=user_and_host(),
    )
