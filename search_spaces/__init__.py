"""What may be searched: spaces, the plans drawn from them, and how they are drawn.

No torch, no Ray and no SQL here: this package is what the other two agree on.
"""

from autoprompt.search_spaces.kind_spaces import HardSpace, SoftSpace
from autoprompt.search_spaces.plan import (
    AnyPlan,
    HardPlan,
    KVPlan,
    MixedPlan,
    SoftPlan,
    TrainedPlan,
    plan_from_dict,
)
from autoprompt.search_spaces.presets import load_space, preset_names, preset_path
from autoprompt.search_spaces.sampling import params_within, sample
from autoprompt.search_spaces.schema import Space

__all__ = [
    "AnyPlan",
    "HardPlan",
    "HardSpace",
    "KVPlan",
    "MixedPlan",
    "SoftPlan",
    "SoftSpace",
    "Space",
    "TrainedPlan",
    "load_space",
    "params_within",
    "plan_from_dict",
    "preset_names",
    "preset_path",
    "sample",
]
