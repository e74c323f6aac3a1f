"""What a stored search's prompts answer with, and the metric they are judged by.

Apart from its model, which needs torch: what is stored is shown without waiting for it.
"""

from autoprompt.search_spaces.registry import look_in
from autoprompt.store import SearchRecord
from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.metrics import METRICS, Metric
from autoprompt.workers.wording import Wording


def metric_of(search: SearchRecord) -> Metric:
    """The metric that a search was judged by.

    Raises:
        ConfigError: it is a user's own, and cannot be imported any more.
    """
    look_in(search.config.get("modules") or "")
    return METRICS[search.metric]


def answers_in(search: SearchRecord) -> Answers:
    """What a search's prompts answer with.

    Raises:
        ConfigError: another version stored it, or it is a user's own that cannot be imported.
    """
    look_in(search.config.get("modules") or "")
    return answers_of(Wording.of_task(search.config["task"]))
