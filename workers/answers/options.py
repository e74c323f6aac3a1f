"""Options that each row brings along: multiple choice, by the likelihood of each option behind the
question (as GPT-3 was tried, Brown et al. 2020, section 2.4)."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers.answers import Readout, Right
from autoprompt.workers.answers.categorical import Categorical
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats, Vote
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question


class Options(Categorical):
    """One of a row's options, of which there are at most A. They stand in columns of their own, or
    as a list in one column (`task.options`)."""

    biased: ClassVar[bool] = False
    votes: ClassVar[tuple[Vote, ...]] = ("majority", "weighted", "mean")
    template: ClassVar[str] = "{question}\nAnswer:"

    def __init__(self, wording: Wording) -> None:
        super().__init__(wording)
        if not wording.options:
            raise ConfigError(
                "task.options: name the column that holds a row's options, or the columns that "
                "hold one each"
            )
        listed = len(wording.options) == 1
        self.names = (
            tuple(map(str, range(1, wording.most_options + 1))) if listed else wording.options
        )

    @property
    def strata(self) -> Sequence[str]:
        """None: which place the right option has says nothing of a text."""
        return ()

    def stratum(self, right: Right) -> str | None:
        return None

    def seated(self, question: "Question", family: "Family") -> Readout:
        # Imported here, with torch, as in `LabelWords`.
        from autoprompt.workers.answers.continued_readout import OptionsReadout

        if family == "masked":
            raise ConfigError(
                "task.answers: options are read word by word, which a model that fills masks "
                "cannot do; choose a causal or a seq2seq model"
            )
        return OptionsReadout(question, self, self.of)

    def of(self, text: Text) -> tuple[str, ...]:
        """A row's options.

        Raises:
            ValueError: it has fewer than two, or more than A.
        """
        columns = self.wording.options
        cells = [] if isinstance(text, str) else [text[column] for column in columns]
        if len(columns) == 1 and cells:
            cells = [str(each).strip() for each in _listed(cells[0])]
        found = tuple(cell for cell in cells if cell)
        if not 2 <= len(found) <= len(self.names):
            raise ValueError(
                f"has {len(found)} options, and there may be 2 to {len(self.names)} "
                "(task.most_options)"
            )
        return found

    def read(self, cell: Any, text: Text) -> Right:
        """The right option's place: the cell says the option itself, its column's name, a letter,
        or its place from 0.

        Raises:
            ValueError: it says none of the row's options.
        """
        options = self.of(text)
        said = "" if cell is None else str(cell).strip()
        if said in options:
            return options.index(said)
        if said in self.wording.options:
            return self.wording.options.index(said)
        if len(said) == 1 and said.isalpha() and ord(said.upper()) - ord("A") < len(options):
            return ord(said.upper()) - ord("A")
        if said.isdigit() and int(said) < len(options):
            return int(said)
        raise ValueError(f"is none of the row's options: {', '.join(options)}")

    def spoken(self, right: Right, text: Text | None = None) -> str:
        return self.told(right, text)

    def by_name(self, mixed: Floats, text: Text) -> dict[str, float]:
        return dict(zip(self.of(text), map(float, mixed), strict=False))

    def told(self, decision: Any, text: Text | None = None) -> Any:
        """The option itself, where its row is at hand."""
        if text is not None:
            options = self.of(text)
            if int(decision) < len(options):
                return options[int(decision)]
        return self.names[int(decision)]


def _listed(cell: str) -> list[Any]:
    """The options in a cell: a JSON list.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(cell)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ValueError("stands beside options that are no JSON list")
    return found
