"""Whether a model can take the KV prompts of a space, said before any trial."""

from typing import Any

from autoprompt.config import SearchConfig
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.dimensions import values_of
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.workers.model_config import (
    Family,
    keeps_whole_text,
    rotation_depends_on_length,
    text_window,
)
from autoprompt.workers.task import Task


def with_possible_kv(
    config: SearchConfig,
    model_config: Any,
    family: Family,
    task: Task,
    beyond_window: int,
    progress: SearchProgress,
) -> SearchConfig:
    """The configuration, without KV prompts where they are optional and the model takes none.

    Args:
        beyond_window: how many texts do not fit the model's window, if it has one.

    Raises:
        BadInputError: the model can take no KV prompt, or none where the space wants it.
    """
    kv = config.space.kv
    if kv is None:
        return config
    model = config.model.path
    elsewhere = set(values_of(kv.position)) - {"decoder"}
    problem = None
    if family == "masked":
        problem = "is a masked model, and KV prompts are for causal and seq2seq ones"
    elif family == "seq2seq" and elsewhere:
        problem = "is a seq2seq model, which takes KV prompts at position decoder only"
    elif family == "seq2seq":
        return config
    elif not keeps_whole_text(model_config):
        problem = "has layers that keep no plain keys and values of a text"
    elif beyond_window:
        problem = (
            f"has layers that see {text_window(model_config)} tokens, which {beyond_window} texts "
            "do not fit"
        )
    elif rotation_depends_on_length(model_config):
        problem = "turns keys by angles that depend on the length of the input"
    if problem:
        others = config.space.without("kv")
        if others is None:
            out = "leave kv out of the space"
            if family == "seq2seq":
                out = "set kv.position to that"
            raise BadInputError(f"{config.source}: kv: {model} {problem}; {out}")
        progress.say(f"KV prompts are left out: {model} {problem}")
        return config.replaced(space=others)
    if "suffix" in values_of(kv.position) and not task.question.tail_ids:
        raise BadInputError(
            f"{config.source}: kv.position suffix: nothing stands behind the text in the template "
            f"{config.task.template!r}; use position end"
        )
    return config


def row_shape(model_config: Any) -> tuple[int, ...] | None:
    """[layers, 2, groups, size] of the keys and values that a model's config promises; None where
    it does not say."""
    decoder = model_config.get_text_config(decoder=True)
    layers = getattr(decoder, "num_decoder_layers", None) or getattr(
        decoder, "num_hidden_layers", None
    )
    heads = getattr(decoder, "num_attention_heads", None)
    if not layers or not heads:
        return None
    groups = getattr(decoder, "num_key_value_heads", None) or heads
    size = getattr(decoder, "head_dim", None) or decoder.hidden_size // heads
    return layers, 2, groups, size
