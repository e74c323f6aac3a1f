"""What earlier searches lend to a new one: settings to try first, prompts to start from.

The soft prompt of another task is often a better start than words are (SPoT, Vu et al. 2022), and
settings that did well once are worth a trial each.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load

from autoprompt.preparation.job_files import travelled
from autoprompt.preparation.prepare import Prepared
from autoprompt.preparation.task_similarity import Footprint
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces import Space, params_within
from autoprompt.search_spaces.earlier_prompts import (
    is_prompt_file,
    prompt_references,
    starting_from,
    trained_parts,
)
from autoprompt.search_spaces.errors import AutopromptError, BadInputError, SearchNotFoundError
from autoprompt.search_spaces.kind_spaces import KVSpace, TrainedSpace
from autoprompt.store import SearchRecord, State, Store
from autoprompt.workers.old_identity import old_identity
from autoprompt.workers.prompt import Prompt

#: Settings of the earlier search that are tried first; never more than half of all trials.
_TRIED_FIRST = 4


def with_earlier(prepared: Prepared, db: str, progress: SearchProgress) -> Prepared:
    """A search with what `warm_start` and `init: prompt` ask of earlier ones; as it was where they
    ask for nothing.

    Every name is pinned to a trial or an absolute path, so that the stored configuration says what
    the search really started from.

    Args:
        db: URL of the store.

    Raises:
        BadInputError: no such search, prompt or file; one of another model; or one that has
            learned from this search's test texts.
    """
    asked = prompt_references(prepared.config.space)
    if prepared.config.warm_start is None and not asked:
        return prepared
    with _opened(db) as store:
        return _lent(prepared, asked, _Lender(prepared, store, progress), progress)


def _lent(
    prepared: Prepared, asked: Sequence[str], lender: "_Lender", progress: SearchProgress
) -> Prepared:
    config = prepared.config
    pinned = {reference: lender.prompt(reference) for reference in asked}
    for part in trained_parts(config.space):
        for reference in part.earlier_prompts:
            name, content = pinned[reference]
            if not isinstance(part, KVSpace) and Prompt.from_bytes(content).kind == "kv":
                raise BadInputError(
                    f"init_prompt: {name} is a KV prompt, which only other KV prompts may start "
                    "from; name it under kv"
                )
    prompts = dict(pinned.values())
    names = {reference: name for reference, (name, _) in pinned.items()}
    space = starting_from(config.space, names)
    warm_start = None
    lent = None if config.warm_start is None else lender.search(config.warm_start)
    if lent is not None:
        search, nearness = lent
        parts = trained_parts(space)
        best = lender.best(search, _kinds_for(parts)) if parts else None
        if best is not None:
            prompts |= [best]
            space = starting_from(space, {}, also=best[0])
        warm_start = {
            "search": search.id,
            "name": search.name,
            "nearness": nearness,
            "prompt": best[0] if best else None,
            "params": lender.params(search, space, best[0] if best else None),
        }
        progress.say(_account(warm_start))
    return replace(
        prepared,
        config=config.replaced(space=space),
        job=replace(prepared.job, earlier=prompts),
        footprint=prepared.footprint.after(lender.footprints),
        warm_start=warm_start,
    )


def _account(warm_start: dict[str, Any]) -> str:
    near = warm_start["nearness"]
    shown = "" if near is None else f" (nearness {near:.2f})"
    prompt = warm_start["prompt"]
    also = f", and trained prompts may start from {prompt}" if prompt else ""
    count = len(warm_start["params"])
    return f"warm start: search {warm_start['name']}{shown}: {count} settings come first{also}"


@contextmanager
def _opened(db: str) -> Iterator[Store | None]:
    """The store as it is; None where there is none yet."""
    try:
        store = Store.open(db, create=False)
    except SearchNotFoundError:
        yield None
        return
    try:
        yield store
    finally:
        store.close()


class _Lender:
    """The searches in the store, as far as a new one may learn from them.

    Attributes:
        footprints: of the searches that lent something.
    """

    def __init__(self, prepared: Prepared, store: Store | None, progress: SearchProgress) -> None:
        self._prepared = prepared
        self._store = store
        self._progress = progress
        self.footprints: list[Footprint] = []

    def search(self, reference: str) -> tuple[SearchRecord, float | None] | None:
        """The search to start from, and how near its task is; None where `auto` finds none."""
        if reference == "auto":
            return self._nearest()
        search = self._named(reference, "warm_start")
        footprint = self._footprint(search)
        return search, None if footprint is None else self._nearness(search, footprint)

    def _nearest(self) -> tuple[SearchRecord, float] | None:
        best: tuple[float, SearchRecord, Footprint] | None = None
        for search in self._store.searches() if self._store else ():  # newest first
            footprint = self._footprint(search)
            if footprint is None or not self._same_model(search) or search.state == State.RUNNING:
                continue
            if self._store is None or self._store.best_score(search.id) is None:
                continue
            if seen := self._learned_from(footprint):
                self._progress.say(
                    f"warm start: search {search.name} is passed over: it has learned from {seen} "
                    "of this search's test texts"
                )
                continue
            nearness = self._nearness(search, footprint)
            if best is None or nearness > best[0]:
                best = nearness, search, footprint
        if best is None:
            self._progress.say(
                "warm start: no earlier search on this model to learn from; starting without"
            )
            return None
        self.footprints.append(best[2])
        return best[1], best[0]

    def _named(self, reference: str, key: str) -> SearchRecord:
        """A search by id, name or `latest`, if it may lend anything.

        Args:
            key: where the configuration names it, for errors.
        """
        if self._store is None:
            raise SearchNotFoundError(f"{key}: no search {reference!r}: there is no store yet")
        search = self._store.find(reference)
        if not self._same_model(search):
            raise BadInputError(
                f"{key}: search {search.name!r} was on another model ({search.model}); a prompt "
                "means something to its own model only"
            )
        if search.state == State.RUNNING or self._store.best_score(search.id) is None:
            lacks = "is running" if search.state == State.RUNNING else "has no trial with a score"
            raise BadInputError(f"{key}: search {search.name!r} {lacks}; name another one")
        footprint = self._footprint(search)
        if footprint is None:
            self._progress.say(
                f"{key}: search {search.name} was made by an older version, so whether it has "
                "learned from this search's test texts is not known"
            )
        elif seen := self._learned_from(footprint):
            raise BadInputError(
                f"{key}: search {search.name!r} has learned from {seen} of this search's test "
                "texts, whose scores would mean nothing; the same data with the same "
                f"search.seed ({search.seed}) is split alike, or give data.path a test file"
            )
        else:
            self.footprints.append(footprint)
        return search

    def _footprint(self, search: SearchRecord) -> Footprint | None:
        content = self._store.footprint(search.id) if self._store else None
        return None if content is None else Footprint.from_bytes(content)

    def _learned_from(self, footprint: Footprint) -> int:
        return footprint.learned_from(self._prepared.splits.test.texts)

    def _same_model(self, search: SearchRecord) -> bool:
        mine, theirs = self._prepared.versions["model"], search.versions.get("model")
        if mine is None and theirs is None:
            return search.model == self._prepared.config.model.path
        return theirs in (mine, self._old_identity)

    @cached_property
    def _old_identity(self) -> str | None:
        """What searches of an older version stored of this search's model."""
        return old_identity(self._prepared.job.model)

    def _nearness(self, search: SearchRecord, footprint: Footprint) -> float:
        """0 to 1: the mean of how alike the texts are, and of how many label words are shared."""
        mine = _label_words(self._prepared.config.task.label_words)
        theirs = _label_words(search.config["task"]["label_words"])
        shared = len(mine & theirs) / len(mine | theirs)
        return (self._prepared.footprint.nearness(footprint) + shared) / 2

    def prompt(self, reference: str) -> tuple[str, bytes]:
        """An earlier prompt by file, search, or SEARCH/TRIAL: its pinned name, and its bytes."""
        key = "init_prompt"
        if is_prompt_file(reference):
            path = (self._prepared.config.base / Path(reference).expanduser()).absolute()
            file = travelled(path)
            if not file.is_file():
                raise BadInputError(f"{key}: {path}: no such file")
            return str(path), self._fitting(_prompt_in(file), str(path))
        name, _, trial = reference.rpartition("/")
        if not (name and trial.isdigit()):
            search = self._named(reference, key)
            best = self.best(search, ("soft",)) or self.best(search, ("kv",))
            if best is None:
                raise BadInputError(f"{key}: search {search.name!r} has no soft and no KV prompt")
            return best
        return self._of_trial(self._named(name, key), int(trial))

    def best(self, search: SearchRecord, kinds: Sequence[str]) -> tuple[str, bytes] | None:
        """A search's best prompt of these kinds, or None."""
        assert self._store is not None
        for trial in self._store.leaderboard(search.id):
            if trial.kind in kinds:
                return self._of_trial(search, trial.number)
        return None

    def _of_trial(self, search: SearchRecord, number: int) -> tuple[str, bytes]:
        assert self._store is not None
        prompts = self._store.prompts(search.id, [number])
        if not prompts:
            raise BadInputError(
                f"init_prompt: trial {number} of search {search.name!r} has no prompt"
            )
        name = f"{search.name}/{number}"
        return name, self._fitting(prompts[0].content, name)

    def _fitting(self, content: bytes, source: str) -> bytes:
        """A prompt's bytes, if its vectors are as wide as the model's, or its rows shaped as the
        model's keys and values."""
        prompt = Prompt.from_bytes(content)
        vectors, width, shape = prompt.vectors, self._prepared.hidden_size, self._prepared.row_shape
        if prompt.rows is not None and shape not in (None, tuple(prompt.rows.shape[1:])):
            raise BadInputError(
                f"init_prompt: {source}: its keys and values are not shaped as those of "
                f"{self._prepared.config.model.path}; it belongs to another model"
            )
        if vectors is not None and vectors.shape[1] != width:
            raise BadInputError(
                f"init_prompt: {source}: its vectors are {vectors.shape[1]} wide, those of "
                f"{self._prepared.config.model.path} are {width}; it belongs to another model"
            )
        return content

    def params(
        self, search: SearchRecord, space: Space, prompt: str | None
    ) -> list[dict[str, Any]]:
        """The best settings of a search that lie in a space, as Optuna names them, best first.

        Args:
            prompt: what the best trained one of them starts from.
        """
        assert self._store is not None
        most = min(_TRIED_FIRST, max(1, self._prepared.config.search.trials // 2))
        settings: list[dict[str, Any]] = []
        for trial in self._store.leaderboard(search.id):
            plan = trial.plan
            if prompt is not None and plan["kind"] in ("soft", "kv"):
                plan = plan | {"init": "prompt", "init_prompt": prompt}
            params = params_within(space, plan)
            if params and params not in settings:
                settings.append(params)
                # The others start as they did.
                prompt = None if plan["kind"] in ("soft", "kv") else prompt
            if len(settings) == most:
                break
        return settings


def _prompt_in(path: Path) -> bytes:
    """The prompt in a file of ours, or the only vectors in one of `autoprompt export` or PEFT."""
    content = path.read_bytes()
    try:
        return Prompt.from_bytes(content).to_bytes()
    except AutopromptError as error:
        try:
            tables = {name: table for name, table in load(content).items() if table.ndim == 2}
        except SafetensorError:
            raise BadInputError(f"init_prompt: {path}: {error}") from None
    if len(tables) != 1:
        holds = f"holds {', '.join(sorted(tables))}" if tables else "holds no prompt's vectors"
        raise BadInputError(f"init_prompt: {path}: {holds}; one prompt is wanted")
    return Prompt(path.name, vectors=next(iter(tables.values())).float()).to_bytes()


def _kinds_for(parts: Sequence[TrainedSpace]) -> tuple[str, ...]:
    """The kinds of prompts that all of these parts may start from."""
    return ("kv", "soft") if all(isinstance(part, KVSpace) for part in parts) else ("soft",)


def _label_words(given: Any) -> set[str]:
    return {word.strip().lower() for words in given.values() for word in words}
