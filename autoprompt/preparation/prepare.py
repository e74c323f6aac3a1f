"""Everything a search needs, read and checked before anything starts or is written."""

import os
from dataclasses import dataclass
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.preparation.answers_check import with_checked_answers
from autoprompt.preparation.folds_check import check_folds
from autoprompt.preparation.guessed_task import with_known_task
from autoprompt.preparation.job_files import unpacked
from autoprompt.preparation.kv_check import row_shape, with_possible_kv
from autoprompt.preparation.label_names import with_label_names
from autoprompt.preparation.metric_check import with_checked_metric
from autoprompt.preparation.splits_check import check_splits
from autoprompt.preparation.task_similarity import Footprint
from autoprompt.preparation.trial_tokens import TextTokens
from autoprompt.preparation.validation_blocks import validation_blocks
from autoprompt.preparation.wording_check import (
    check_wordings,
    with_fitting_demonstrations,
    with_named_wordings,
    with_possible_searchers,
)
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import BadInputError, ConfigError
from autoprompt.versions import code_versions
from autoprompt.workers.answers import answers_of
from autoprompt.workers.data import Splits
from autoprompt.workers.families import FAMILIES
from autoprompt.workers.job import Job
from autoprompt.workers.model_config import (
    context_length,
    family_of,
    keeps_whole_text,
    text_window,
)
from autoprompt.workers.model_files import conversion_is_due
from autoprompt.workers.model_identity import model_identity
from autoprompt.workers.model_loading import read_tokenizer
from autoprompt.workers.question import Question
from autoprompt.workers.scoring import longest_text
from autoprompt.workers.task import build_task
from autoprompt.workers.text_cache import CacheSpec


@dataclass(frozen=True)
class Prepared:
    """A search that can start.

    Attributes:
        job: what the workers are given; the test split is not in it.
        versions: of model, data and code.
        truncated: how many texts are cut to fit the model.
        hidden_size: how wide the model's input embeddings are.
        row_shape: of a KV prompt's row, [layers, 2, groups, size]; None where the model's config
            does not say.
        texts: how many tokens its texts have, and what stands behind them.
        footprint: what is kept of the texts for later searches.
        warm_start: what the search takes over from an earlier one; None for nothing.
    """

    config: SearchConfig
    splits: Splits
    job: Job
    versions: dict[str, Any]
    truncated: int
    hidden_size: int
    footprint: Footprint
    texts: TextTokens
    warm_start: dict[str, Any] | None = None
    row_shape: tuple[int, ...] | None = None


def prepare(config: SearchConfig, progress: SearchProgress) -> Prepared:
    """Read the data and the model's tokenizer, and hold the configuration against both.

    Raises:
        BadInputError: one line with the file, the key, and what would do.
    """
    config = with_label_names(with_known_task(config, progress), progress)
    config = with_named_wordings(with_checked_answers(with_checked_metric(config)))
    source = config.source
    local = unpacked(config)
    with progress.step("reading the data"):
        splits = local.splits()
    check_splits(splits, answers_of(config.task), source, progress)
    check_folds(config, splits)
    due = conversion_is_due(local.model, progress.say)
    with progress.step("unpacking the GGUF model, once" if due else "checking the model"):
        tokenizer, model_config = read_tokenizer(local.model)
    family = family_of(model_config) or "causal"
    try:
        task = build_task(config.task, tokenizer, family)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    config = with_possible_searchers(config, family)
    check_wordings(config, tokenizer, family)
    with progress.step("tokenizing the texts"):
        lengths = _lengths(splits, task.question)
    config = with_fitting_demonstrations(
        config, lengths["train"], task.question, context_length(model_config), progress
    )
    window = text_window(model_config) if family == "causal" else None
    fitting = longest_text(window, task, config.space.longest_prompt())
    beyond = sum(length > fitting for own in lengths.values() for length in own)
    config = with_possible_kv(config, model_config, family, task, beyond, progress)
    possible = FAMILIES[family].positions
    impossible = config.space.positions - possible
    if impossible:
        raise BadInputError(
            f"{source}: position {', '.join(sorted(impossible))}: {config.model.path} is a "
            f"{family} model, whose prompts may stand at: {', '.join(sorted(possible))}"
        )
    hard = config.space.hard
    answers_next = family == "causal" and hard is not None and "end" in hard.positions
    if answers_next and task.question.template.tail[-1:].isspace():
        raise BadInputError(
            f"{source}: hard.position end: the template ends in white space, and label words have "
            "none before them to stand behind a hard prompt; end the template with a colon or "
            "another word, or use position suffix"
        )
    reusable = config.space.positions & set(FAMILIES[family].reusable)
    if family == "causal" and reusable and not keeps_whole_text(model_config):
        progress.say(
            f"{config.model.path} has layers that keep no plain keys and values of a text: "
            "every step computes its texts anew, as at position prefix; a model with full "
            "attention in every layer is several times faster here"
        )
        reusable = frozenset()
    elif reusable and beyond:
        progress.say(
            f"{beyond} of {sum(splits.sizes.values())} texts do not fit the {window} tokens that "
            f"some layers of {config.model.path} see: a batch with one of them computes its texts "
            "anew, as at position prefix"
        )
        if beyond == sum(splits.sizes.values()):
            reusable = frozenset()
    longest_prompt = config.space.longest_prompt()
    limit = longest_text(context_length(model_config), task, longest_prompt)
    if limit <= len(task.question.read([task.question.everywhere("")])[0]):
        raise BadInputError(
            f"{source}: a prompt of {longest_prompt} tokens and the template leave no room for the "
            f"text in the {context_length(model_config)} tokens that {config.model.path} takes; "
            "shorten soft.length or hard.tokens"
        )
    truncated = sum(length > limit for own in lengths.values() for length in own)
    if truncated:
        progress.say(
            f"{truncated} of {sum(splits.sizes.values())} texts are longer than the {limit} tokens "
            f"that {config.model.path} leaves for them: their ends are cut off"
        )
    identity = model_identity(local.model, progress.say)
    return Prepared(
        config=config,
        splits=splits,
        job=Job(
            model=local.model,
            task=config.task,
            train=splits.train,
            validation=splits.validation,
            longest_prompt=longest_prompt,
            cache=CacheSpec(
                bytes_at_hand=int(config.search.cache_gib_per_worker * (1 << 30)),
                bytes_on_disk=int(config.search.cache_gib_on_disk * (1 << 30)),
                folder=os.environ.get("AUTOPROMPT_CACHE"),
            ),
            positions=config.space.positions,
            kv=config.space.kv is not None,
            fractions=config.search.fractions,
            patience=config.search.patience,
            blocks=validation_blocks(config, splits.validation.labels),
            modules=config.module_folders,
            writer=local.writer,
            class_weights=config.data.class_weights is not None,
        ),
        versions={
            **code_versions(),
            "model": identity or getattr(model_config, "_commit_hash", None),
            "data": splits.fingerprint,
        },
        truncated=truncated,
        hidden_size=model_config.get_text_config(decoder=True).hidden_size,
        footprint=Footprint.of(splits, tokenizer),
        row_shape=row_shape(model_config),
        texts=TextTokens.of(
            [min(length, limit) for length in lengths["train"]],
            [min(length, limit) for length in lengths["validation"]],
            family,
            fitting,
            reusable,
            task,
        ),
    )


def _lengths(splits: Splits, question: Question) -> dict[str, list[int]]:
    """How many tokens the texts of each split have, whole."""
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {name: [len(ids) for ids in question.read(split.texts)] for name, split in parts.items()}
