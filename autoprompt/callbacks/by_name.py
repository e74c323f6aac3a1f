"""The callbacks that a configuration may name."""

from collections.abc import Callable, Sequence

from autoprompt.callbacks.callback import Callback
from autoprompt.callbacks.log_events import LogEvents
from autoprompt.callbacks.mlflow_runs import MlflowRuns
from autoprompt.callbacks.tensorboard_files import TensorboardFiles
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry

#: What `callbacks:` may name; each is called without arguments, and makes a callback.
CALLBACKS: Registry[Callable[[], Callback]] = Registry(
    "callback",
    {"log": LogEvents, "mlflow": MlflowRuns, "tensorboard": TensorboardFiles},
    group="autoprompt.callbacks",
)


def named_callbacks(names: Sequence[str], source: str) -> list[Callback]:
    """The callbacks that a configuration names.

    Raises:
        ConfigError: there is none of a name, or it could not be made.
    """
    made = []
    for name in names:
        try:
            made.append(CALLBACKS[name]())
        except ConfigError as error:
            raise ConfigError(f"{source}: callbacks: {error}") from error
        except Exception as error:  # a user's code may raise anything
            raise ConfigError(
                f"{source}: callbacks: {name} could not be made: {type(error).__name__}: {error}"
            ) from error
    return made
