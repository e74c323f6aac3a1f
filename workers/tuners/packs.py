"""Plans of several wordings on one worker, over one frozen model and one text cache."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.device_errors import raise_if_device_broken
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.pack import Pack, Told


class Seat(NamedTuple):
    """Where a plan's prompts are asked.

    Attributes:
        examples: all of the texts in its wording.
        part: those that it may see.
    """

    scorer: Scorer
    examples: Examples
    part: Examples


class Packs:
    """Plans under way, by their trials' numbers: a pack for each wording, by turns.

    Plans of one wording share passes; those of several are to the model different texts.

    Args:
        seat: where a plan's prompts are asked, by its fold: in one wording with the same scorer.
        fractions, patience, weight: as `Pack` has them.
    """

    def __init__(
        self,
        seat: Callable[[AnyPlan, int | None], Seat],
        fractions: Sequence[float],
        patience: int | None = None,
        weight: float = 0.0,
    ) -> None:
        self._seat = seat
        self._ways = (fractions, patience, weight)
        #: Those whose wording does not suit the model or the data, until they are reported.
        self._failed: list[Told] = []
        self._packs: dict[Scorer, Pack] = {}

    def add(self, plans: Mapping[int, AnyPlan], folds: Mapping[int, int | None]) -> None:
        """Carry out these plans, too.

        Args:
            folds: of the job's, which each plan leaves out; None for those that learn all.
        """
        for number, plan in plans.items():
            try:
                scorer, whole, part = self._seat(plan, folds.get(number))
            except Exception as error:
                raise_if_device_broken(error)
                self._failed.append(Told(number, error))
                continue
            if scorer not in self._packs:
                self._packs[scorer] = Pack({}, scorer, whole, *self._ways)
            self._packs[scorer].add({number: plan}, part)

    @property
    def numbers(self) -> list[int]:
        """The plans that have more to do, or to report."""
        under_way = [number for pack in self._packs.values() for number in pack.numbers]
        return [*(failure.number for failure in self._failed), *under_way]

    def drop(self, numbers: Iterable[int]) -> None:
        """Carry out these plans no further."""
        dropped = set(numbers)
        self._failed = [failure for failure in self._failed if failure.number not in dropped]
        for pack in self._packs.values():
            pack.drop(dropped)

    def advance(self) -> list[Told]:
        """Go on until at least one plan reaches a rung or fails: of the wording that has not gone
        on for longest.

        Raises:
            DeviceBrokenError: none of them can go on in this process.
        """
        outcomes, self._failed = self._failed, []
        for scorer in list(self._packs):
            if outcomes:
                break
            pack = self._packs[scorer] = self._packs.pop(scorer)
            outcomes = pack.advance()
        return outcomes
