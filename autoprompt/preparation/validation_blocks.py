"""Which validation texts judge each rung of a search."""

from collections.abc import Sequence

from autoprompt.search_spec import SearchSpec
from autoprompt.workers.blocks import Blocks, blocks


def validation_blocks(spec: SearchSpec, labels: Sequence[int]) -> Blocks:
    """The blocks of B validation texts, the same for the same configuration.

    Args:
        labels: [B].
    """
    return blocks(labels, spec.judging, spec.rungs, spec.reduction_factor, spec.seed)
