"""The earlier prompts that a space's trained prompts may start from: by name, trial or file."""

from collections.abc import Mapping, Sequence

from autoprompt.search_spaces.dimensions import values_of
from autoprompt.search_spaces.kind_spaces import TrainedSpace
from autoprompt.search_spaces.schema import Space

#: A reference that ends so is a file, else a search, or a search's trial.
_FILE = ".safetensors"


def prompt_references(space: Space) -> list[str]:
    """What `init: prompt` may start from, as the space says it."""
    return [reference for part in trained_parts(space) for reference in part.earlier_prompts]


def prompt_files(space: Space) -> list[str]:
    """Those of the references that are files."""
    return [reference for reference in prompt_references(space) if is_prompt_file(reference)]


def is_prompt_file(reference: str) -> bool:
    return reference.endswith(_FILE)


def trained_parts(space: Space) -> list[TrainedSpace]:
    """The parts of a space whose prompts have vectors to start from."""
    return [part for part in space.parts if isinstance(part, TrainedSpace)]


def starting_from(space: Space, names: Mapping[str, str], also: str | None = None) -> Space:
    """The space with its references to earlier prompts replaced by their names.

    Args:
        also: one more that every trained prompt may start from.
    """
    changed = {}
    for kind, part in zip(space.kinds, space.parts, strict=True):
        if not isinstance(part, TrainedSpace):
            continue
        prompts = [names.get(reference, reference) for reference in part.earlier_prompts]
        inits = values_of(part.init)
        if also is not None:
            prompts, inits = [*prompts, also], (*inits, "prompt")
        if prompts:
            changes = {"init": _dimension(inits), "init_prompt": _dimension(prompts)}
            changed[kind] = part.model_copy(update=changes)
    return space.model_copy(update=changed)


def _dimension(values: Sequence[str]) -> str | tuple[str, ...]:
    """One value is fixed, several are a choice."""
    distinct = tuple(dict.fromkeys(values))
    return distinct if len(distinct) > 1 else distinct[0]
