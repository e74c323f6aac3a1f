"""Baselines: what stands beside the prompts, learnt from the same texts; one file a kind."""

from autoprompt.workers.baselines.kinds import BASELINES, DEFAULT, Kind, demand_baselines, named

__all__ = ["BASELINES", "DEFAULT", "Kind", "demand_baselines", "named"]
