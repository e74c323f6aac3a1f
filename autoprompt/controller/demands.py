"""What a configuration names, asked for before anything starts."""

from autoprompt.config import SearchConfig
from autoprompt.controller.stopping_rules import stopping_rule
from autoprompt.ensemble.selections import demand_selection
from autoprompt.workers.baselines import demand_baselines
from autoprompt.workers.tuners.kinds import demand_tuners


def demand_named(config: SearchConfig) -> None:
    """See that the rules, selections, baselines and tuners that it names can be had.

    Raises:
        ConfigError: one cannot.
    """
    config.look_for_modules()
    stopping_rule(config)
    demand_selection(config.ensemble.select, config.source)
    demand_baselines(config.baselines, config.source)
    demand_tuners(config.space.tuners, config.source)
