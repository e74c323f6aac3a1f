"""The Python search API: `autoprompt.search(...)`, `autoprompt.load(...)` and what stands beside
them."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import PATIENCE_SECONDS, Database, Schema, State, Store, read_schema, upgrade
from autoprompt.store.location import store_url
from autoprompt.tasks import Tasks

if TYPE_CHECKING:
    from autoprompt.callbacks import Callback
    from autoprompt.config import SearchConfig
    from autoprompt.export.exported_prompts import ExportedPrompts as Exported


@overload
def load(search: list[str], *, db: str | None = None) -> Tasks: ...
@overload
def load(search: Path, *, model: str | None = None, adapter: str | None = None) -> "Exported": ...
@overload
def load(search: str = "latest", *, db: str | None = None) -> SearchResult: ...
def load(
    search: list[str] | str | Path = "latest",
    *,
    model: str | None = None,
    adapter: str | None = None,
    db: str | None = None,
) -> "SearchResult | Tasks | Exported":
    """The results of a stored search, or of several that label texts together; or the prompts of an
    exported folder.

    Args:
        search: its id, its name, or `latest`; or a list of them; or a folder that `export` wrote.
        model, adapter: where an exported folder's model lies, if that is not on the Hub.

    Raises:
        SearchNotFoundError: there is none.
        StoreError: the database cannot be opened.
        BadInputError: the folder holds no prompts that this version reads.
        ModelError: its model is not there, or is another one.
    """
    if isinstance(search, Path) or (
        isinstance(search, str) and Path(search, "prompt.json").is_file()
    ):
        from autoprompt.export.exported_prompts import ExportedPrompts

        return ExportedPrompts(search, model, adapter)
    store = Store.open(store_url(db), create=False)
    if isinstance(search, list):
        return Tasks([SearchResult(store, store.find(str(name))) for name in search])
    return SearchResult(store, store.find(str(search)))


def compare(
    a: str,
    b: str,
    *,
    data: str | None = None,
    metric: str | None = None,
    plot: str | Path | None = None,
    db: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """The paired difference of two finished searches on the same held-out texts, of their best
    prompts and of their ensembles; see `autoprompt.evaluation.comparison`.

    Args:
        a, b: their ids or names, or `latest`.
        data: what both were evaluated on; their test splits without any.
        metric: another one than the searches'.
        plot: a new SVG file to draw it in.
        quiet: say nothing on stderr.

    Raises:
        SearchNotFoundError: one of them is not there.
        BadInputError: they answered different texts, have different labels or metrics, or an older
            version kept no answers; or the plot's file exists.
        SearchUnfinishedError: one of them has not finished.
    """
    from autoprompt.evaluation.comparison import compare as compared
    from autoprompt.new_files import check_new
    from autoprompt.progress import SearchProgress
    from autoprompt.reporting.comparison_plot import write_plot

    if plot is not None:
        check_new(Path(plot), "--plot")
    store = Store.open(store_url(db), create=False)
    pair = (store.find(str(a)), store.find(str(b)))
    comparison = compared(store, pair, data, metric, SearchProgress(quiet=quiet))
    if plot is not None:
        write_plot(comparison, plot)
    return comparison


def searches(
    *,
    owner: str | None = None,
    tags: Sequence[str] = (),
    state: str | None = None,
    name: str = "*",
    db: str | None = None,
) -> list[SearchResult]:
    """The searches in the store, newest first.

    Args:
        owner: only this one's.
        tags: only those that have all of these.
        state: only those in it: running, finished, failed or stopped.
        name: only those whose names match, as file names do: `movies-*`.

    Raises:
        StoreError: the database cannot be opened.
    """
    store = Store.open(store_url(db), create=False)
    results = [SearchResult(store, summary.search, summary) for summary in store.summaries()]
    return [
        result
        for result in results
        if owner in (None, result.record.owner)
        and state in (None, result.state)
        and set(tags) <= set(result.record.tags or ())
        and fnmatchcase(result.name, name)
    ]


def delete(searches: Sequence[str], *, db: str | None = None, quiet: bool = False) -> list[str]:
    """Delete searches with all that the store has of them, the record of opened test texts
    included. Exported folders, reports and labelled texts stay.

    Args:
        searches: ids or names.

    Returns:
        Their names.

    Raises:
        SearchNotFoundError: one is not there.
        BadInputError: one runs, or another one that is not finished starts from its prompts. In
            both cases all of them stay.
    """
    from autoprompt.controller.deletion import delete as deleted
    from autoprompt.progress import SearchProgress

    store = Store.open(store_url(db), create=False)
    records = {record.id: record for record in (store.find(str(name)) for name in searches)}
    deleted(store, list(records.values()), SearchProgress(quiet=quiet))
    return [record.name for record in records.values()]


def database_schema(db: str | None = None) -> Schema:
    """Which version a database's tables are; nothing is changed.

    Raises:
        StoreError: it cannot be opened, or is another program's.
    """
    database = Database.at(store_url(db))
    return read_schema(database)


def upgrade_database(db: str | None = None) -> Schema:
    """Bring a database's tables to this version, whole or not at all; make them where there are
    none.

    Returns:
        What they were before.

    Raises:
        StoreError: it cannot be opened, is newer, or is another program's.
    """
    return upgrade(Database.at(store_url(db)))


def search(
    data: "SearchConfig | str | Path | Any",
    *,
    text: str | None = None,
    label: str | None = None,
    model: Any = None,
    trials: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    name: str | None = None,
    warm_start: str | None = None,
    time_limit: float | str | None = None,
    callbacks: Sequence["Callback"] = (),
    db: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> SearchResult:
    """Run a search to its end and return its results.

    Args:
        data: labelled texts: a pandas DataFrame, a `datasets.Dataset` or `DatasetDict`, a dict of
            columns, a list of dicts, or the path of a file of them (.csv, .tsv, .json, .jsonl,
            .parquet). They are kept in a file of the user's, for the search to be resumed from.
            Or a whole search: a YAML file's path, or a `SearchConfig`.
        text, label: the columns; without them, what their names and cells look like.
        model: a Hub id, a folder, or a .gguf file; without one, a small model from the Hub.
        trials, workers, seed, name, warm_start, time_limit: these come before what the
            configuration says; a time is seconds, or text such as 10m.
        callbacks: told of what happens, beside those that the configuration names.
        db: the database's URL.
        quiet: say nothing on stderr.
        settings: every other key of the YAML, as `task={"template": ...}`, `space="soft"` or
            `search={"rungs": 2}`; those in a mapping are laid over what is there.

    Raises:
        BadInputError: something in the configuration, data or model will not do; nothing was
            started and nothing written.
        SearchFailedError: no trial succeeded.
        DatabaseLostError: the database went away and did not come back for ten minutes; what
            trials had reported until then is in it.
    """
    from autoprompt.callbacks import named_callbacks
    from autoprompt.controller.demands import demand_named
    from autoprompt.controller.runner import run_search
    from autoprompt.preparation.given_config import given_config
    from autoprompt.preparation.prepare import prepare
    from autoprompt.preparation.warm_start import with_earlier
    from autoprompt.progress import SearchProgress

    progress = SearchProgress(quiet=quiet)
    config = given_config(data, text, label, model, settings).with_overrides(
        trials=trials,
        workers=workers,
        seed=seed,
        name=name,
        warm_start=warm_start,
        time_limit=time_limit,
    )
    url = store_url(db, config.store)
    # To be refused before anything starts.
    demand_named(config)
    listening = [*named_callbacks(config.callbacks, config.source), *callbacks]
    prepared = with_earlier(prepare(config, progress), url, progress)
    store = Store.open(url, patience=PATIENCE_SECONDS, say=progress.say)
    if name is not None and store.name_is_taken(name):
        raise BadInputError(f"--name: a search named {name!r} exists; choose another name")
    return SearchResult(store, run_search(prepared, store, progress, listening))


def check(
    config: "SearchConfig | str | Path", *, db: str | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Hold a configuration against its data, model and store as `search` does, and say what the
    search will cost, from a short measurement here; see `autoprompt.controller.check`. Nothing is
    stored.

    Args:
        config: a YAML file's path, or a `SearchConfig`.
        db: the database's URL.
        quiet: say nothing on stderr.

    Raises:
        BadInputError: something in the configuration, data or model will not do.
    """
    from autoprompt.config import SearchConfig
    from autoprompt.controller.check import check as checked
    from autoprompt.progress import SearchProgress

    if not isinstance(config, SearchConfig):
        config = SearchConfig.read(config)
    return checked(config, store_url(db, config.store), SearchProgress(quiet=quiet))


def resume(
    search: str = "latest",
    *,
    workers: int | None = None,
    callbacks: Sequence["Callback"] = (),
    db: str | None = None,
    quiet: bool = False,
) -> SearchResult:
    """Go on with a search that was stopped, failed, or lost its controller, to its end.

    What its trials reported is kept, those that had not ended begin again under their numbers, and
    the rest of its budget is spent; all of that is read from the store.

    Args:
        search: its id, its name, or `latest`.
        workers: in the place of what its configuration says.
        callbacks: told of what happens, beside those that its configuration names.

    Raises:
        BadInputError: it is finished or runs elsewhere, or its data or model is gone or changed.
        SearchFailedError, DatabaseLostError: as `search`.
    """
    from autoprompt.callbacks import named_callbacks
    from autoprompt.controller.resume import prepare_again
    from autoprompt.controller.runner import resume_search
    from autoprompt.progress import SearchProgress

    progress = SearchProgress(quiet=quiet)
    url = store_url(db)
    store = Store.open(url, create=False, patience=PATIENCE_SECONDS, say=progress.say)
    record = store.find(str(search))
    if record.state == State.FINISHED:
        raise BadInputError(
            f"search {record.name!r} is finished: there is nothing to resume; "
            f"`autoprompt show {record.name}` shows what it found"
        )
    prepared = prepare_again(record, url, workers, progress)
    listening = [*named_callbacks(prepared.config.callbacks, record.name), *callbacks]
    return SearchResult(store, resume_search(prepared, store, record, progress, listening))
