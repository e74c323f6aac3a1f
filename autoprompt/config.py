"""The YAML a user writes, validated: everything a search needs to know before it starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, field_validator, model_validator

from autoprompt.search_spaces import Space, load_space
from autoprompt.search_spaces.documents import Document, or_text, parse, read_yaml
from autoprompt.search_spaces.earlier_prompts import prompt_files, starting_from
from autoprompt.search_spaces.errors import BadInputError, ConfigError
from autoprompt.search_spaces.registry import look_in
from autoprompt.search_spaces.settings import LongForms, with_settings
from autoprompt.search_spec import AbstainSpec, BaggingSpec, ConfirmSpec, EnsembleSpec, SearchSpec
from autoprompt.workers.answers import answers_of
from autoprompt.workers.baselines import BASELINES, DEFAULT, named
from autoprompt.workers.data import Splits, load_splits
from autoprompt.workers.data_spec import DataSpec, Paths
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.task import TaskSpec

#: The store has room for 200, a number behind a taken name included.
_LONGEST_NAME = 180


def checked_name(name: str) -> str:
    """A search's name, if it cannot be taken for something else.

    Raises:
        ValueError: it is empty, too long for the store, a number (an id), or the word latest.
    """
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"a search's name has at most {_LONGEST_NAME} characters")
    if not name.strip() or name.isdigit() or name == "latest":
        raise ValueError(f"a search cannot be named {name!r}: numbers are ids, latest is a word")
    return name


class SearchConfig(Document):
    """A whole search.

    Relative paths in it start from `base`: the YAML file's folder, or the current one.
    """

    #: The frozen model: a Hub id, a folder, or a .gguf file; or a mapping that says more.
    model: ModelSpec = Field(json_schema_extra=or_text)
    #: The labelled texts.
    data: DataSpec
    #: What is asked of a text, and how answers are judged.
    task: TaskSpec = Field(json_schema_extra=or_text)
    #: What may be searched: a preset (`autoprompt spaces`), a .yaml file of yours, or the space
    #: itself.
    space: Space = Field(json_schema_extra=or_text)
    #: What the search is called; without one, the file's name.
    name: str | None = None
    #: Words by which it is found again among others' searches: `autoprompt list --tag WORD`.
    tags: tuple[str, ...] = ()
    #: How the search is run.
    search: SearchSpec = Field(default_factory=SearchSpec)
    #: The prompts that vote in the end.
    ensemble: EnsembleSpec = Field(default_factory=EnsembleSpec)
    #: An earlier search on the same model to learn from: its best settings are tried first, and
    #: soft prompts may start from its best one. auto takes the one with the nearest task.
    warm_start: str | None = None
    #: Who is told of what happens: log, mlflow, tensorboard, or your own as module:function.
    callbacks: tuple[str, ...] = ()
    #: null names the best trial by the search's own scores.
    confirm: ConfirmSpec | None = None
    #: null lets the trials' own prompts vote, which learnt the train texts alone.
    bagging: BaggingSpec | None = None
    #: null answers every text.
    abstain: AbstainSpec | None = None
    #: What stands beside the prompts, learnt from the same texts: names in `BASELINES`, your own as
    #: module:class, default for those that cost little; null for nothing.
    baselines: tuple[str, ...] = (DEFAULT,)
    #: The folder of your own modules, which are named as module:function; without one, the base.
    modules: str | None = None
    #: URL of the database; --db and AUTOPROMPT_DB come before it.
    store: str | None = None

    _base: Path = PrivateAttr(default_factory=Path)
    _source: str = PrivateAttr(default="SearchConfig")

    @property
    def base(self) -> Path:
        return self._base

    @property
    def source(self) -> str:
        """The file this was read from, as errors name it."""
        return self._source

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of a row, as templates call it."""
        return self.task.reads

    def columns_in(self, column: str | None = None) -> dict[str, str]:
        """What is read of a row, as templates call it and as the data does.

        Args:
            column: what the texts' column is called in other data.

        Raises:
            BadInputError: it is given, and there are several columns of which none is {text}.
        """
        names = self.data.named(self.columns)
        if column is None:
            return names
        if len(names) > 1 and "text" not in names:
            raise BadInputError(
                f"{self.source} reads the columns {', '.join(names)}, so {column!r} cannot stand "
                "for all of them: name them so in the file"
            )
        return names | {"text" if "text" in names else next(iter(names)): column}

    def splits(self, seed: int | None = None) -> Splits:
        """The data, read anew and split; see `load_splits`.

        Args:
            seed: of the search, where it is not the configuration's.

        Raises:
            DataError: the data cannot be read, or does not fit the task.
        """
        answers = answers_of(self.task)
        seed = self.search.seed if seed is None else seed
        return load_splits(self.data, answers, self.base, seed, self.columns)

    @property
    def title(self) -> str:
        """The name, or the file's where none is given."""
        return self.name or Path(self._source).stem[:_LONGEST_NAME]

    @property
    def prompt_files(self) -> dict[str, str]:
        """The files that soft prompts may start from: as they are written, and absolute."""
        return {
            file: str((self.base / Path(file).expanduser()).absolute())
            for file in prompt_files(self.space)
        }

    @property
    def writer(self) -> str | None:
        """The model that rewrites instructions: absolute where it is a path, a Hub id as it is."""
        writer = None if self.space.hard is None else self.space.hard.writer
        if writer is None:
            return None
        path = self.base / Path(writer).expanduser()
        local = path.exists() or ModelSpec(path=writer).is_local
        return str(path.absolute()) if local else writer

    @field_validator("name")
    @classmethod
    def _usable_name(cls, value: str | None) -> str | None:
        return None if value is None else checked_name(value)

    @field_validator("baselines", mode="before", json_schema_input_type=str | list[str] | None)
    @classmethod
    def _named_baselines(cls, value: Any) -> Any:
        given = [value] if isinstance(value, str) else value or ()
        if not isinstance(given, (list, tuple)) or not all(isinstance(one, str) for one in given):
            raise ValueError("expected a list of names, such as [default, lora], or null for none")
        for name in given:
            if ":" not in name and name != DEFAULT:
                BASELINES[name]
        return tuple(dict.fromkeys(given))

    @field_validator("warm_start", mode="before", json_schema_input_type=str | int | bool | None)
    @classmethod
    def _as_reference(cls, value: Any) -> Any:
        # YAML reads an id as a number, and `off` as false.
        if isinstance(value, bool):
            return "auto" if value else None
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _columns_are_read(self) -> "SearchConfig":
        own = [*self.data.columns, *(["text"] if self.data.tokens else [])]
        unread = [name for name in own if name not in self.columns]
        if unread:
            raise ValueError(
                f"data names a column for {{{unread[0]}}}, and task.template reads "
                f"{', '.join(f'{{{name}}}' for name in self.columns)}"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, content: Any) -> Any:
        """`model: path` for `model: {path: path}`, a space by name or file, and a task by what it
        is."""
        if not isinstance(content, dict):
            return content
        content = dict(content)
        if isinstance(content.get("model"), str):
            content["model"] = {"path": content["model"]}
        if isinstance(content.get("space"), str):
            content["space"] = load_space(content["space"], Path(), "SearchConfig")
        if isinstance(content.get("task"), str):
            content["task"] = {"answers": content["task"]}
        return content

    @model_validator(mode="after")
    def _baselines_to_vote(self) -> "SearchConfig":
        able = [name for name in named(self.baselines) if BASELINES[name].does != "train"]
        if self.ensemble.members == "any" and not able:
            why = (
                "none of baselines keeps what it has learnt" if self.baselines else "there is none"
            )
            raise ValueError(
                f"ensemble.members: any lets baselines vote, and {why}: name one that does, such "
                "as linear_probe, or set it to prompts"
            )
        return self

    @classmethod
    def read(cls, path: str | Path, settings: Sequence[str] = ()) -> "SearchConfig":
        """Read a YAML file.

        Args:
            settings: what comes before the file: `KEY=VALUE`, as `--set` has them.

        Raises:
            ConfigError: one line with the file, the key, and what would do.
        """
        path = Path(path)
        source = f"{path} with --set {' --set '.join(settings)}" if settings else str(path)
        long_forms: LongForms = {
            "model": lambda model: {"path": model},
            "space": lambda name: load_space(name, path.parent, source).model_dump(
                exclude_unset=True
            ),
        }
        content = with_settings(read_yaml(path), settings, long_forms)
        space = content.get("space")
        if isinstance(space, (str, dict)):
            content["space"] = load_space(space, path.parent, source)
        config = parse(cls, content, source)
        config._base = path.parent
        config._source = str(path)
        return config._with_absolute_model()

    def to_store(self) -> dict[str, Any]:
        """What the store keeps: paths that mean the same from any folder, and no database URL."""
        config = self._with_absolute_model()
        space = starting_from(config.space, config.prompt_files)
        config = config.replaced(data=config.data.under(config.base), space=space)
        config = config.with_writer(self.writer)
        if config.own_modules:
            config = config.replaced(modules=str(config.modules_folder))
        return config.model_dump(mode="json", exclude={"store"})

    @classmethod
    def from_store(cls, content: dict[str, Any], name: str) -> "SearchConfig":
        """The inverse of `to_store`.

        Raises:
            ConfigError: it was stored by a version whose configuration was another.
        """
        return cls.of(content, f"search {name!r}")

    @classmethod
    def of(cls, content: dict[str, Any], source: str) -> "SearchConfig":
        """A search from plain values; relative paths in it start from the current folder.

        Args:
            source: what errors call it.

        Raises:
            ConfigError: one line with the source, the key, and what would do.
        """
        config = parse(cls, content, source)
        config._source = source
        return config

    def _with_absolute_model(self) -> "SearchConfig":
        """A model path that is here, relative to the base, made absolute; a Hub id as it is."""
        local = self.base / Path(self.model.path).expanduser()
        changes = {}
        # A path that looks local but is missing is kept as written under the base, for the error.
        if local.exists() or self.model.is_local:
            changes["path"] = str(local.absolute())
        if self.model.adapter is not None:
            adapter = self.base / Path(self.model.adapter).expanduser()
            changes["adapter"] = str(adapter.absolute())
        return self.replaced(model=self.model.model_copy(update=changes)) if changes else self

    def replaced(self, **changes: Any) -> "SearchConfig":
        """The same search with other parts, which are as good as parsed."""
        config = self.model_copy(update=changes)
        config._base, config._source = self._base, self._source
        return config

    def with_writer(self, writer: str | None) -> "SearchConfig":
        """The same search with the model that rewrites instructions elsewhere."""
        hard = self.space.hard
        if hard is None or hard.writer == writer:
            return self
        changed = hard.model_copy(update={"writer": writer})
        return self.replaced(space=self.space.model_copy(update={"hard": changed}))

    def with_dtype(self, dtype: str) -> "SearchConfig":
        """The same search with its model held in this dtype."""
        return self.replaced(model=self.model.model_copy(update={"dtype": dtype}))

    def with_population(self, size: int) -> "SearchConfig":
        """The same search with so many trials side by side on each worker."""
        return self.replaced(search=self.search.model_copy(update={"trials_per_worker": size}))

    def without_files(self) -> "SearchConfig":
        """The same search, which keeps nothing of its texts on disk."""
        return self.replaced(search=self.search.model_copy(update={"cache_gib_on_disk": 0.0}))

    @property
    def own_modules(self) -> list[str]:
        """The user's modules that something is named from."""
        names = (
            self.task.metric,
            self.task.answers,
            self.ensemble.select,
            self.search.stopping,
            *self.space.tuners,
            *self.baselines,
            *self.callbacks,
        )
        return [name.split(":")[0] for name in names if ":" in name]

    @property
    def modules_folder(self) -> Path:
        """Where the user's modules lie."""
        return (self.base / Path(self.modules or "").expanduser()).absolute()

    @property
    def module_folders(self) -> tuple[str, ...]:
        """Where they are looked for: in the base, too, where a job's own copies lie."""
        return str(self.modules_folder), str(self.base.absolute())

    def look_for_modules(self) -> None:
        """Let what is named as `module:function` be imported from these."""
        for folder in self.module_folders:
            look_in(folder)

    def with_paths(
        self, data: str | Paths, model: str, adapter: str | None = None
    ) -> "SearchConfig":
        """The same search with its data, its model and the model's adapter elsewhere."""
        return self.replaced(
            data=self.data.model_copy(update={"path": data}),
            model=self.model.model_copy(update={"path": model, "adapter": adapter}),
        )

    def with_overrides(
        self,
        trials: int | None = None,
        workers: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        warm_start: str | None = None,
        time_limit: float | str | None = None,
        tags: Sequence[str] = (),
    ) -> "SearchConfig":
        """The same search with what the command line said in the place of what the file says; tags
        stand beside the file's.

        Raises:
            ConfigError: an override that the file could not say either.
        """
        given = {"trials": trials, "workers": workers, "seed": seed, "time_limit": time_limit}
        changes = {key: value for key, value in given.items() if value is not None}
        search = parse(SearchSpec, self.search.model_dump() | changes, self.source)
        try:
            name = self.name if name is None else checked_name(name)
        except ValueError as error:
            raise ConfigError(f"--name: {error}") from None
        tags = tuple(dict.fromkeys((*self.tags, *tags)))
        return self.replaced(
            search=search, name=name, warm_start=warm_start or self.warm_start, tags=tags
        )
