"""The stopping rules that `search.stopping` may name."""

from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.stopping_rule import MakeRule, NoStopping
from autoprompt.search_spaces.registry import Registry

STOPPING_RULES: Registry[MakeRule] = Registry(
    "stopping rule", {"asha": AshaByKind, "none": NoStopping}
)
