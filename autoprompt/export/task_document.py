"""What is asked with prompts, as plain values for readers that have no Autoprompt."""

from collections.abc import Sequence
from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.model_config import Family, context_length, decoder_start, family_of
from autoprompt.workers.model_loading import read_tokenizer
from autoprompt.workers.prompt import Prompt, by_wording
from autoprompt.workers.scoring import longest_text
from autoprompt.workers.task import Task, build_task

#: The kinds of answers that the loader in a folder knows.
_KINDS = ("label_words", "options", "scale", "several_labels", "text", "spans")


def task_documents(
    config: SearchConfig, prompts: Sequence[Prompt]
) -> tuple[Family, list[dict[str, Any]]]:
    """The model's family, and what every prompt asks.

    Raises:
        BadInputError: the loader does not know the kind of answers.
    """
    kind = config.task.answers
    if kind not in _KINDS:
        raise BadInputError(
            f"export: the loader in the folder knows {', '.join(_KINDS)}, not {kind}; label with "
            "`autoprompt predict`"
        )
    tokenizer, model_config = read_tokenizer(config.model)
    family = family_of(model_config) or "causal"
    longest = config.space.longest_prompt()
    tasks: list[dict[str, Any]] = [{}] * len(prompts)
    for wording, places in by_wording(prompts, config.task):
        own = _as_dict(build_task(wording, tokenizer, family), family, model_config, longest)
        task = {"answers": kind} | own
        for place in places:
            tasks[place] = task
    return family, tasks


def _as_dict(task: Task, family: Family, model_config: Any, longest_prompt: int) -> dict[str, Any]:
    """A task as plain values: all that a reader needs who does not know how a tokenizer joins
    words. `longest_text` is in tokens, those of the template included."""
    question = task.question
    start = decoder_start(model_config) if family == "seq2seq" else None
    return {
        "head": question.template.head,
        "columns": [
            {"before": before, "column": column} for before, column in question.template.parts
        ],
        "tail": question.template.tail,
        "begin_ids": question.begin_ids,
        "tail_ids": question.tail_ids,
        "end_ids": question.end_ids,
        "mask": question.mask,
        "decoder_ids": () if start is None else (start, *question.answer_ids),
        **task.readout.as_dict(),
        "longest_text": longest_text(context_length(model_config), task, longest_prompt),
    }
