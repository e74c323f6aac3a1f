"""Which validation texts judge each rung of a search."""

from collections.abc import Sequence

from autoprompt.config import SearchConfig
from autoprompt.workers.answers import Right, answers_of
from autoprompt.workers.blocks import Blocks, blocks


def validation_blocks(config: SearchConfig, labels: Sequence[Right]) -> Blocks:
    """The blocks of B validation texts, the same for the same configuration.

    Args:
        labels: [B].
    """
    spec, answers = config.search, answers_of(config.task)
    strata = answers.divided(labels)
    judging, growth, first = spec.judging, spec.reduction_factor, answers.first_block
    return blocks(strata, judging, spec.rungs, growth, spec.seed, first)
