"""An ensemble as its search's results show it: who votes, how well, and how much they agree."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autoprompt.statistics.abstention import Abstention
from autoprompt.store import Candidate, SearchRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from autoprompt.ensemble.predictor import Prediction, Predictor
    from autoprompt.ensemble.selection import Chosen
    from autoprompt.workers.answers import Answers
    from autoprompt.workers.rows import Text
    from autoprompt.workers.vote import Floats
    from autoprompt.workers.wording import Wording


class Ensemble:
    """Who votes, best first.

    Attributes:
        members: the N that label texts, prompts and baselines.
        combination: how these vote.
        voters: what was chosen: trials' prompts and baselines, the members themselves; or plans
            whose prompts of folds vote for them.
        validation: the vote's score on the texts that judge it: the validation split, or all
            labelled texts where prompts learnt from folds of them.
        judged_on: what tables call those texts: validation, or out of fold.
        abstention: when it gives no answer; None where it answers every text.
        note: why it is not what was asked for; None where it is.
    """

    def __init__(
        self,
        search: SearchRecord,
        chosen: "Chosen",
        test: dict[str, Any] | None = None,
        deployed: Sequence[Candidate] = (),
        abstention: Abstention | None = None,
    ) -> None:
        """An ensemble of a search.

        Args:
            test: the test split's table, where this ensemble is the one that was tested.
            deployed: what labels texts in the voters' place, in their order, where they do not.
            abstention: when it gives no answer.
        """
        self.search = search
        self._chosen = chosen
        self._test = test
        self.abstention = abstention
        self.voters = chosen.members
        self.members = list(deployed) or chosen.members
        self.combination = chosen.combination
        self.judged_on = "out of fold" if deployed else "validation"
        if deployed:
            standing = [member.reference for member in deployed]
            counts = [standing.count(voter.reference) for voter in self.voters]
            self.combination = chosen.combination.of_members(counts)
        self.select = chosen.select
        self.validation = chosen.validation
        self.note = chosen.note

    @property
    def name(self) -> str:
        """Its search's."""
        return self.search.name

    @property
    def answers(self) -> "Answers":
        """What its members answer with."""
        return self._chosen.answers

    @property
    def wording(self) -> "Wording":
        """How its search asks where a prompt does not say otherwise."""
        from autoprompt.workers.wording import Wording

        return Wording.of_task(self.search.config["task"])

    @property
    def longest_prompt(self) -> int:
        """Tokens that texts leave room for."""
        from autoprompt.config import SearchConfig

        return SearchConfig.model_validate(self.search.config).space.longest_prompt()

    @property
    def vote(self) -> str:
        return self.combination.vote

    @property
    def baselines(self) -> list[str]:
        """Names of the baselines that vote."""
        return [voter.baseline for voter in self.voters if voter.baseline is not None]

    @property
    def weights(self) -> list[float]:
        """[N], what each member's vote counts."""
        return list(self.combination.weights)

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
    def log_probs(self) -> "Floats":
        """[voters, B, L], what the voters say of the texts that judge them."""
        return self._chosen.log_probs

    @cached_property
    def decisions(self) -> "NDArray[Any]":
        """[B] or [B, L], what the voters decide together of the texts that judge them."""
        return self._chosen.combination.voted(self._chosen.answers, self.log_probs)

    @cached_property
    def agreement(self) -> "Floats":
        """[voters, voters], the part of the texts that judge on which each two say the same."""
        from autoprompt.workers.agreement import agreement

        answers = self._chosen.answers
        return agreement(answers, answers.decided(self.log_probs))

    @cached_property
    def scores(self) -> dict[str, Any]:
        """Scores of the voters with 95% intervals, as `SearchResult.test` has them on test. All of
        them were chosen by these texts, so they flatter."""
        from autoprompt.evaluation.score_table import scores_table
        from autoprompt.search_answers import metric_of

        chosen = self._chosen
        return scores_table(
            chosen.answers,
            metric_of(self.search),
            chosen.labels,
            self.voters,
            chosen.combination,
            self.log_probs,
        )

    def as_dict(self) -> dict[str, Any]:
        """What `autoprompt ensemble --json` prints."""
        from autoprompt.workers.agreement import mean_agreement

        tested = self._test["members"] if self._test else [None] * len(self.members)
        by_voter = zip(self.voters, self.scores["members"], strict=True)
        judged = {voter.reference: row for voter, row in by_voter}
        members = [
            {
                "number": member.number,
                "baseline": member.baseline,
                "fold": member.fold,
                "kind": member.kind,
                "score": member.score,
                "loss": member.loss,
                "prompt": member.text,
                "votes": weight,
                "validation": judged[member.reference],
                "test": on_test,
            }
            for member, weight, on_test in zip(self.members, self.weights, tested, strict=True)
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
            "judged_on": self.judged_on,
            "vote": self.vote,
            "select": self.select,
            "abstain": self.abstention and self.abstention.as_dict(),
            "note": self.note,
            "members": members,
            "agreement": {
                "mean": mean_agreement(self.agreement),
                "pairs": self.agreement.tolist(),
            },
            "disagreement_error_ratio": self.scores["disagreement_error_ratio"],
            **tables,
        }
