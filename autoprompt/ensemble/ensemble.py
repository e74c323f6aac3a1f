"""An ensemble as its search's results show it: who votes, how well, and how much they agree."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autoprompt.store import SearchRecord

if TYPE_CHECKING:
    from autoprompt.ensemble.predictor import Prediction, Predictor
    from autoprompt.ensemble.selection import Chosen
    from autoprompt.workers.rows import Text
    from autoprompt.workers.vote import Floats


class Ensemble:
    """The prompts that vote, best first.

    Attributes:
        weights: [N], what each member's vote counts.
        validation: the vote's score on the validation split.
        note: why it is not what was asked for; None where it is.
    """

    def __init__(
        self,
        search: SearchRecord,
        chosen: "Chosen",
        labels: Sequence[int],
        test: dict[str, Any] | None = None,
    ) -> None:
        """An ensemble of a search.

        Args:
            labels: [B], the right labels of the validation texts.
            test: the test split's table, where this ensemble is the one that was tested.
        """
        self.search = search
        self._chosen = chosen
        self._labels = labels
        self._test = test
        self.members = chosen.members
        self.weights = chosen.weights
        self.vote = chosen.vote
        self.select = chosen.select
        self.validation = chosen.validation
        self.note = chosen.note

    @cached_property
    def predictor(self) -> "Predictor":
        """The loaded model with the members' prompts; loading happens on first use.

        Raises:
            ModelError: the model is no longer where it was.
        """
        from autoprompt.ensemble.predictor import Predictor

        return Predictor.load([self])

    def predict(self, texts: "Sequence[Text]") -> "list[Prediction]":
        """Label texts by the members' vote; as `Predictor.predict` takes them."""
        return self.predictor.predict(texts)[self.search.name]

    @cached_property
    def agreement(self) -> "Floats":
        """[N, N], the part of the validation texts on which each two members say the same."""
        from autoprompt.workers.vote import agreement

        return agreement(self._chosen.answers.decided(self._chosen.log_probs))

    @cached_property
    def scores(self) -> dict[str, Any]:
        """Scores on validation with 95% intervals, as `SearchResult.test` has them on test. All of
        them were chosen by these texts, so they flatter."""
        from autoprompt.evaluation.score_table import scores_table
        from autoprompt.search_answers import metric_of

        metric = metric_of(self.search)
        return scores_table(
            self._chosen.answers,
            metric,
            self._labels,
            self.members,
            self.weights,
            self._chosen.log_probs,
        )

    def as_dict(self) -> dict[str, Any]:
        """What `autoprompt ensemble --json` prints."""
        from autoprompt.workers.vote import mean_agreement

        tested = self._test["members"] if self._test else [None] * len(self.members)
        members = [
            {
                "number": member.number,
                "kind": member.kind,
                "score": member.score,
                "loss": member.loss,
                "prompt": member.text,
                "votes": weight,
                "validation": on_validation,
                "test": on_test,
            }
            for member, weight, on_validation, on_test in zip(
                self.members, self.weights, self.scores["members"], tested, strict=True
            )
        ]
        tables = {
            name: {key: table.get(key) for key in ("texts", "ensemble", "best_member", "mean")}
            if table
            else None
            for name, table in (("validation", self.scores), ("test", self._test))
        }
        return {
            "search": self.search.name,
            "size": len(members),
            "vote": self.vote,
            "select": self.select,
            "note": self.note,
            "members": members,
            "agreement": {
                "mean": mean_agreement(self.agreement),
                "pairs": self.agreement.tolist(),
            },
            **tables,
        }
