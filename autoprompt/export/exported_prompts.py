"""The prompts of an exported folder, read back: they label texts without the store."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from autoprompt.ensemble.predictor import Prediction, Predictor
from autoprompt.search_model import same_model
from autoprompt.search_spaces.errors import BadInputError, ModelError
from autoprompt.statistics.abstention import Abstention
from autoprompt.workers.answers import Answers, answers_of
from autoprompt.workers.combination import Combination
from autoprompt.workers.known_model import load_known_model
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.rows import Text

#: What makes a folder an exported one.
DOCUMENT = "prompt.json"


@dataclass(frozen=True)
class Exported:
    """One of a folder's prompts.

    Attributes:
        content: as `Prompt.to_bytes` has it.
    """

    content: bytes
    fitted: None = None


class ExportedPrompts:
    """What an exported folder holds.

    Attributes:
        name: the search's that it is from.
    """

    def __init__(
        self, folder: str | Path, model: str | None = None, adapter: str | None = None
    ) -> None:
        """Read a folder; the model is loaded when texts are first labelled.

        Args:
            model: where the model lies, for one that is neither on the Hub nor in the folder.
            adapter: likewise the model's adapter.

        Raises:
            BadInputError: it holds no prompts, those of a version that this one cannot read, or a
                model that must be named.
            ModelError: the model is not there, or is another one.
        """
        self._folder = Path(folder)
        try:
            text = (self._folder / DOCUMENT).read_text(encoding="utf-8")
            self._document: dict[str, Any] = json.loads(text)
            self.name: str = self._document["search"]
            self.wording = Wording.model_validate(self._document["wording"])
            self.longest_prompt: int = self._document["longest_prompt"]
            self.combination = Combination.from_dict(self._document["vote"])
            rule = self._document["abstain"]
            self.abstention = None if rule is None else Abstention.from_dict(rule)
            self.members = [Exported(self._prompt(one)) for one in self._document["prompts"]]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise BadInputError(
                f"{folder}: no prompts of this version of Autoprompt ({error}); its predict.py "
                "labels texts with any version's, or export the search again"
            ) from None
        self._model = self._spec(model, adapter)

    @property
    def answers(self) -> Answers:
        """What its prompts answer with."""
        return answers_of(self.wording)

    @cached_property
    def predictor(self) -> Predictor:
        """The loaded model with the prompts; loading happens on first use.

        Raises:
            ModelError: the model cannot be loaded.
        """
        return Predictor(load_known_model(self._model), [self])

    def predict(self, texts: "Sequence[Text]") -> list[Prediction]:
        """Label texts by the prompts' vote; as `Predictor.predict` takes them."""
        return self.predictor.predict(texts)[self.name]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self._folder)!r}, {len(self.members)} prompts>"

    def _spec(self, model: str | None, adapter: str | None) -> ModelSpec:
        known = self._document["model"]
        if known.get("in_folder"):
            return ModelSpec(path=str(self._folder), dtype=known["dtype"])
        path = model or (known["name"] if known["on_hub"] else None)
        if path is None or (known["adapter"] and adapter is None):
            missing, name = ("adapter", known["adapter"]) if path else ("model", known["name"])
            raise ModelError(
                f"{self._folder}: its prompts are for {missing} {name}: say where that is by "
                f"{missing}="
            )
        spec = ModelSpec(
            path=path,
            adapter=adapter,
            dtype=known["dtype"],
            revision=None if model else known["revision"],
        )
        return same_model(spec, known["fingerprint"], f"the search of {self._folder}")

    def _prompt(self, one: Mapping[str, Any]) -> bytes:
        trained = {
            what: load_file(self._folder / one[what]["file"])[one[what]["tensor"]].reshape(
                one[what]["shape"]
            )
            for what in ("vectors", "rows")
            if what in one
        }
        own = one.get("wording")
        return Prompt(
            text=one["text"],
            token_ids=tuple(one["token_ids"]),
            position=one["position"],
            front=one["front"],
            prior=tuple(one["prior"]),
            wording=self.wording if own is None else Wording.model_validate(own),
            reworded=own is not None,
            **trained,
        ).to_bytes()
