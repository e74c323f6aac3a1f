"""The questions of a space held against the task, the model and the texts, before any trial."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.preparation.job_files import travelled
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.dimensions import values_of
from autoprompt.search_spaces.errors import BadInputError, ConfigError
from autoprompt.search_spaces.pieces import Pieces
from autoprompt.search_spaces.wording_space import BUILT_IN_TAILS, Proposals
from autoprompt.workers.model_config import Family
from autoprompt.workers.question import Question
from autoprompt.workers.task import Task, build_task
from autoprompt.workers.template import MASK, Template
from autoprompt.workers.wording import Wording
from autoprompt.workers.writer import check_writer

#: Stands in a list of templates for those that ship.
BUILT_IN = "built_in"

#: Searchers that write one phrase as a whole.
_OF_ONE_PLACE = {"edits", "rewriting"}


def with_named_wordings(config: SearchConfig) -> SearchConfig:
    """The configuration with the built-in templates by name, and its writer's path from anywhere.

    Raises:
        BadInputError: the writer is no causal model, or cannot be found.
    """
    space = config.space
    changes: dict[str, Any] = {}
    if BUILT_IN in space.templates:
        own = _built_in(config.task)
        given = [template for template in space.templates if template != BUILT_IN]
        changes["template"] = tuple(dict.fromkeys([*given, *own]))
    if config.writer is not None:
        check_writer(str(travelled(Path(config.writer))))
        config = config.with_writer(config.writer)
    return config.replaced(space=config.space.model_copy(update=changes)) if changes else config


def _built_in(task: Wording) -> list[str]:
    """The templates that ship, behind the task's own beginning, the task's own first."""
    template = task.parsed_template
    beginning = str(Template(template.parts, ""))
    asks = MASK in task.template
    tails = [f"{tail} {MASK}." if asks else tail for tail in BUILT_IN_TAILS]
    if MASK in template.head:
        return [task.template]
    return [task.template, *(beginning + tail for tail in tails)]


def wordings_of(config: SearchConfig) -> list[Wording]:
    """Every question that a trial of the space may ask, without what it finds.

    Raises:
        BadInputError: a template or label words that are none of this task.
    """
    space, task = config.space, config.task
    where = f"{config.source}: space"
    templates: list[str | None] = [None]
    if space.templates:
        templates = []
        for template in space.templates:
            try:
                pieces = Pieces.of(template, "hard", "suffix", None, config.columns)
            except ValueError as error:
                raise BadInputError(f"{where}.template: {error}") from None
            templates.append(pieces.template)
    words: Sequence[Any] = [None]
    if space.label_words and not isinstance(space.label_words, Proposals):
        words = space.label_words
    return [task.reworded(template, own, where) for template, own in product(templates, words)]


def check_wordings(config: SearchConfig, tokenizer: Any, family: Family) -> list[Task]:
    """The space's questions on a model.

    Raises:
        BadInputError: one cannot be asked, with what would do.
    """
    tasks = []
    for wording in wordings_of(config):
        try:
            tasks.append(build_task(wording, tokenizer, family))
        except ConfigError as error:
            raise ConfigError(
                f"{config.source}: space: the template {wording.template!r}: {error}"
            ) from None
    return tasks


def with_possible_searchers(config: SearchConfig, family: Family) -> SearchConfig:
    """The configuration, without rewriting where it is optional and nothing writes.

    Raises:
        BadInputError: a searcher of the space cannot do what the space asks of it.
    """
    space, hard = config.space, config.space.hard
    if hard is None:
        return config
    where = f"{config.source}: space.hard"
    searchers = set(values_of(hard.searcher))
    several = [template for template in space.templates if template.count("{hard}") > 1]
    unsuited = searchers & _OF_ONE_PLACE
    if unsuited and (several or "both" in hard.positions):
        place = repr(several[0]) if several else "position both"
        raise BadInputError(
            f"{where}: {', '.join(sorted(unsuited))} write one phrase, and {place} has several "
            "places for words"
        )
    if any(values_of(hard.fluency)) and family != "causal":
        raise BadInputError(
            f"{where}.fluency: a {family} model says nothing of how fluent words are; leave it out"
        )
    if "rewriting" in searchers and hard.writer is None and family != "causal":
        others = space.without("rewriting")
        if others is not None:
            return config.replaced(space=others)
        raise BadInputError(
            f"{where}.writer: the frozen model is a {family} one, which writes nothing; name a "
            "causal model"
        )
    return config


def with_fitting_demonstrations(
    config: SearchConfig,
    train: Sequence[int],
    question: Question,
    context: int | None,
    progress: SearchProgress,
) -> SearchConfig:
    """The configuration, without more demonstrations than fit where they are optional.

    Args:
        train: how many tokens each train text has in its question, up to the last column.
        context: tokens that the model takes.

    Raises:
        BadInputError: the space wants more of them than fit.
    """
    shown = config.space.demonstrations
    if shown is None:
        return config
    counts = values_of(shown.count)
    batch = max(max(values_of(part.batch_size)) for part in config.space.parts)
    most, problem = len(train) - batch, f"and a batch of {batch} are more than the train texts"
    if context is not None:
        # The template behind each, an answer, and what parts it from the next.
        mean = sum(train) / len(train) + len(question.tail_ids) + 2
        room = max(0, int((context - max(train)) / mean))
        if room < most:
            most = room
            problem = (
                f"texts of {mean:.0f} tokens and the longest one leave no room in the {context} "
                f"tokens that {config.model.path} takes"
            )
    if max(counts) <= most:
        return config
    where = f"{config.source}: space.demonstrations.count"
    said = f"{max(counts)} {problem}; show at most {max(most, 0)}"
    fitting = tuple(count for count in counts if count <= most)
    if "demonstrations" not in config.space.optional:
        raise BadInputError(f"{where}: {said}")
    progress.say(f"demonstrations: {said}")
    fewer = shown.model_copy(update={"count": fitting}) if fitting else None
    return config.replaced(space=config.space.model_copy(update={"demonstrations": fewer}))
