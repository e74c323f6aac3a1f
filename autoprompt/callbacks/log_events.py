"""Events as lines of a log."""

import logging

from autoprompt.callbacks.callback import Callback, TrialEnd, TrialReport
from autoprompt.store import SearchRecord

log = logging.getLogger("autoprompt.callbacks")


class LogEvents(Callback):
    """Events as lines of the logger `autoprompt.callbacks`, for those who collect logs."""

    def search_started(self, search: SearchRecord) -> None:
        log.info("search %s (%s) started", search.id, search.name)

    def trial_reported(self, trial: TrialReport) -> None:
        log.info("trial %d, rung %d: %.4f", trial.number, trial.rung, trial.score)

    def trial_ended(self, trial: TrialEnd) -> None:
        log.info("trial %d %s: %s", trial.number, trial.state, trial.error or trial.score)

    def search_ended(self, search: SearchRecord) -> None:
        log.info("search %s (%s) %s", search.id, search.name, search.state)
