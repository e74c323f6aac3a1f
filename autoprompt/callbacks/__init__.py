"""What a user's own code may listen to while a search runs.

    class Notify(autoprompt.Callback):
        def trial_ended(self, trial):
            print(trial.number, trial.state, trial.score)

    autoprompt.search("search.yaml", callbacks=[Notify()])

A callback runs in the controller's process, after what it hears of was stored. It cannot change a
search, nor end one: what it raises is logged once, and the search goes on.
"""

from autoprompt.callbacks.by_name import CALLBACKS, named_callbacks
from autoprompt.callbacks.callback import (
    Callback,
    Conclusion,
    TrialEnd,
    TrialReport,
    TrialStart,
)
from autoprompt.callbacks.listeners import Listeners

__all__ = [
    "CALLBACKS",
    "Callback",
    "Conclusion",
    "Listeners",
    "TrialEnd",
    "TrialReport",
    "TrialStart",
    "named_callbacks",
]
