"""What a configuration asks for, held against its kind of answers."""

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.baselines import DEFAULT
from autoprompt.workers.metrics import METRICS

#: What stands beside prompts where answers are not one of several labels.
_BESIDE = ("template",)


def with_checked_answers(config: SearchConfig) -> SearchConfig:
    """The same search, with the baselines that its kind of answers has.

    Raises:
        ConfigError: its metric, its vote, or something else of it is not for this kind of answers.
    """
    task, source = config.task, config.source
    try:
        answers = answers_of(task)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    needs = METRICS[task.metric].needs
    if needs not in answers.needs:
        fitting = [name for name in METRICS if METRICS[name].needs in answers.needs]
        raise ConfigError(
            f"{source}: task.metric: {task.metric} judges {needs}, and {task.answers} are "
            f"{' or '.join(sorted(answers.needs))}; choose one of {', '.join(fitting)}"
        )
    if config.ensemble.vote not in answers.votes:
        raise ConfigError(
            f"{source}: ensemble.vote: {task.answers} have no {config.ensemble.vote} vote; choose "
            f"{' or '.join(answers.votes)}"
        )
    return config if answers.categorical else _without_labels(config, answers)


def _without_labels(config: SearchConfig, answers: Answers) -> SearchConfig:
    """A search whose answers are not one of several labels.

    Raises:
        ConfigError: it asks for what only labels have.
    """
    asked = {
        "bagging": config.bagging is not None,
        "abstain": config.abstain is not None,
        "ensemble.members": config.ensemble.members == "any",
        "data.class_weights": config.data.class_weights is not None,
        "space.label_words": config.space.label_words is not None,
    }
    for key, given in asked.items():
        if given:
            raise ConfigError(
                f"{config.source}: {key}: it is for answers of which one is right, and "
                f"{config.task.answers} are not; leave it out"
            )
    others = [name for name in config.baselines if name not in (DEFAULT, *_BESIDE)]
    if others:
        raise ConfigError(
            f"{config.source}: baselines: {others[0]} is for answers of which one is right; beside "
            f"{config.task.answers} there is {', '.join(_BESIDE)}"
        )
    return config.replaced(baselines=_BESIDE if config.baselines else ())
