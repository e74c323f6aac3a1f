"""What every worker of a search is given once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.blocks import Blocks
from autoprompt.workers.data import Split
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.task import TaskSpec
from autoprompt.workers.text_cache import CacheSpec


@dataclass(frozen=True)
class Job:
    """The model, the task and the texts that plans are carried out on. The test split is not part
    of it.

    Attributes:
        longest_prompt: the most tokens a prompt may take; texts are cut to leave room for it.
        cache: how much of the texts each worker keeps, and where it is shared.
        positions: where the prompts of the space may stand.
        kv: whether KV prompts are among them.
        folds: places of train texts that a plan may be told to leave out, and is judged by; a fold
            of none leaves nothing out.
        fractions: the rungs, each as a part of a plan's budget, rising to 1.
        patience: a trial ends after so many rungs without a better score.
        earlier: prompts that a soft trial may start from, as safetensors, by the names that plans
            know them by.
        search: its name, by which dashboards know it.
        modules: folders that a user's own metric or answers may be imported from.
        blocks: which of the validation texts judge a rung.
        writer: the model that rewrites instructions, where it lies now; plans say where it lay when
            the search was made. None for the frozen model itself.
        negative_correlation: the weight by which plans of one fold are trained to err differently.
    """

    model: ModelSpec
    task: TaskSpec
    train: Split
    validation: Split
    longest_prompt: int
    cache: CacheSpec
    positions: frozenset[Position]
    fractions: tuple[float, ...]
    patience: int | None = None
    earlier: Mapping[str, bytes] = field(default_factory=dict)
    search: str = ""
    modules: tuple[str, ...] = ()
    blocks: Blocks = field(default_factory=Blocks)
    kv: bool = False
    folds: tuple[tuple[int, ...], ...] = ()
    writer: str | None = None
    negative_correlation: float = 0.0
