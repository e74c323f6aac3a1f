"""The YAML a user writes, validated: everything a search needs to know before it starts."""

from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, field_validator, model_validator

from autoprompt.search_spaces import Space, load_space
from autoprompt.search_spaces.documents import Document, parse, read_yaml
from autoprompt.search_spaces.earlier_prompts import prompt_files, starting_from
from autoprompt.search_spaces.errors import BadInputError, ConfigError
from autoprompt.search_spaces.registry import look_in
from autoprompt.search_spec import AbstainSpec, BaggingSpec, ConfirmSpec, EnsembleSpec, SearchSpec
from autoprompt.workers.answers import answers_of
from autoprompt.workers.baselines import BASELINES, DEFAULT, named
from autoprompt.workers.data import DataSpec, Paths, Splits, load_splits
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

    model: ModelSpec
    data: DataSpec
    task: TaskSpec
    space: Space
    name: str | None = None
    search: SearchSpec = Field(default_factory=SearchSpec)
    ensemble: EnsembleSpec = Field(default_factory=EnsembleSpec)
    #: An earlier search on the same model to learn from: its best settings are tried first, and
    #: soft prompts may start from its best one. auto takes the one with the nearest task.
    warm_start: str | None = None
    #: Who is told of what happens: log, or your own as module:function.
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
        assert self.task.columns is not None
        return self.task.columns

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
        labels = answers_of(self.task).names
        seed = self.search.seed if seed is None else seed
        return load_splits(self.data, labels, self.base, seed, self.columns)

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

    @field_validator("baselines", mode="before")
    @classmethod
    def _named_baselines(cls, value: Any) -> Any:
        given = [value] if isinstance(value, str) else value or ()
        if not isinstance(given, (list, tuple)) or not all(isinstance(one, str) for one in given):
            raise ValueError("expected a list of names, such as [default, lora], or null for none")
        for name in given:
            if ":" not in name and name != DEFAULT:
                BASELINES[name]
        return tuple(dict.fromkeys(given))

    @field_validator("warm_start", mode="before")
    @classmethod
    def _as_reference(cls, value: Any) -> Any:
        # YAML reads an id as a number, and `off` as false.
        if isinstance(value, bool):
            return "auto" if value else None
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, content: Any) -> Any:
        """`model: path` for `model: {path: path}`, and a space by name or file."""
        if not isinstance(content, dict):
            return content
        content = dict(content)
        if isinstance(content.get("model"), str):
            content["model"] = {"path": content["model"]}
        if isinstance(content.get("space"), str):
            content["space"] = load_space(content["space"], Path(), "SearchConfig")
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
    def read(cls, path: str | Path) -> "SearchConfig":
        """Read a YAML file.

        Raises:
            ConfigError: one line with the file, the key, and what would do.
        """
        path = Path(path)
        content = read_yaml(path)
        space = content.get("space")
        if isinstance(space, (str, dict)):
            content["space"] = load_space(space, path.parent, str(path))
        config = parse(cls, content, str(path))
        config._base = path.parent
        config._source = str(path)
        return config._with_absolute_model()

    def to_store(self) -> dict[str, Any]:
        """What the store keeps: paths that mean the same from any folder, and no database URL."""
        config = self._with_absolute_model()
        space = starting_from(config.space, config.prompt_files)
        config = config._replace(data=config.data.under(config.base), space=space)
        config = config.with_writer(self.writer)
        if config.own_modules:
            config = config._replace(modules=str(config.modules_folder))
        return config.model_dump(mode="json", exclude={"store"})

    @classmethod
    def from_store(cls, content: dict[str, Any], name: str) -> "SearchConfig":
        """The inverse of `to_store`.

        Raises:
            ConfigError: it was stored by a version whose configuration was another.
        """
        config = parse(cls, content, f"search {name!r}")
        config._source = f"search {name!r}"
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
        return self._replace(model=self.model.model_copy(update=changes)) if changes else self

    def _replace(self, **changes: Any) -> "SearchConfig":
        config = self.model_copy(update=changes)
        config._base, config._source = self._base, self._source
        return config

    def with_space(self, space: Space) -> "SearchConfig":
        """The same search over another space."""
        return self._replace(space=space)

    def with_writer(self, writer: str | None) -> "SearchConfig":
        """The same search with the model that rewrites instructions elsewhere."""
        hard = self.space.hard
        if hard is None or hard.writer == writer:
            return self
        changed = hard.model_copy(update={"writer": writer})
        return self.with_space(self.space.model_copy(update={"hard": changed}))

    def with_label_words(self, words: dict[str, tuple[str, ...]]) -> "SearchConfig":
        """The same search with these label words for its task."""
        return self._replace(task=self.task.model_copy(update={"label_words": words}))

    def with_dtype(self, dtype: str) -> "SearchConfig":
        """The same search with its model held in this dtype."""
        return self._replace(model=self.model.model_copy(update={"dtype": dtype}))

    def with_population(self, size: int) -> "SearchConfig":
        """The same search with so many trials side by side on each worker."""
        return self._replace(search=self.search.model_copy(update={"trials_per_worker": size}))

    def without_files(self) -> "SearchConfig":
        """The same search, which keeps nothing of its texts on disk."""
        return self._replace(search=self.search.model_copy(update={"cache_gib_on_disk": 0.0}))

    def with_ensemble(self, ensemble: EnsembleSpec) -> "SearchConfig":
        """The same search with other rules of voting."""
        return self._replace(ensemble=ensemble)

    def without_warm_start(self) -> "SearchConfig":
        """The same search, looking for no earlier one to start from."""
        return self._replace(warm_start=None)

    @property
    def own_modules(self) -> list[str]:
        """The user's modules that something is named from."""
        names = (
            self.task.metric,
            self.task.answers,
            self.ensemble.select,
            self.search.stopping,
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
        return self._replace(
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
    ) -> "SearchConfig":
        """The same search with what the command line said in the place of what the file says.

        Raises:
            ConfigError: an override that the file could not say either.
        """
        given = {"trials": trials, "workers": workers, "seed": seed}
        changes = {key: value for key, value in given.items() if value is not None}
        search = parse(SearchSpec, self.search.model_dump() | changes, self.source)
        try:
            name = self.name if name is None else checked_name(name)
        except ValueError as error:
            raise ConfigError(f"--name: {error}") from None
        return self._replace(search=search, name=name, warm_start=warm_start or self.warm_start)
