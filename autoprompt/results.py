"""A search's results: what the store has of it, and what can be done with it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprompt.ensemble.ensemble import Ensemble
from autoprompt.search_spaces.errors import BadInputError, SearchUnfinishedError
from autoprompt.store import State
from autoprompt.stored_search import StoredSearch

if TYPE_CHECKING:
    import optuna

    from autoprompt.export.prompt_folder import Format
    from autoprompt.search_spec import Members
    from autoprompt.workers.vote import Vote


class SearchResult(StoredSearch):
    """One search, finished or not: everything `StoredSearch` reads, and what follows from it."""

    def try_ensemble(
        self,
        size: int | None = None,
        vote: "Vote | None" = None,
        select: str | None = None,
        members: "Members | None" = None,
    ) -> Ensemble:
        """Another ensemble, chosen and scored on validation from the stored predictions.

        Nothing is stored, and the test split stays as it is.

        Args:
            size: how many vote; None lets validation decide.
            vote, select, members: what is not given is as the search was configured.

        Raises:
            SearchUnfinishedError: no trial has a score yet.
            BadInputError: baselines cannot vote beside the prompts of this search.
        """
        from autoprompt.ensemble.selection import choose
        from autoprompt.evaluation.candidates import CANDIDATES
        from autoprompt.evaluation.stored_candidates import stored_candidates
        from autoprompt.search_answers import metric_of
        from autoprompt.workers.vote import check_vote

        spec = self.record.config["ensemble"]
        members = members or spec.get("members", "prompts")
        candidates, labels = stored_candidates(
            self._store, self.record, limit=CANDIDATES, baselines=members == "any"
        )
        if not candidates:
            raise SearchUnfinishedError(f"search {self.name!r} has no trial with a score")
        metric = metric_of(self.record)
        vote = vote or spec["vote"]
        check_vote(vote, metric, "try a weighted one")
        select = select or spec.get("select", "top")
        chosen = choose(
            candidates, labels, self.answers, metric, size, vote, select, bagged=self.is_bagged
        )
        voters = [member.natural(self.direction) for member in chosen.members]
        found = replace(chosen, members=voters)
        return Ensemble(self.record, found, deployed=self.deployed(voters))

    def to_optuna(self, storage: str | None = None) -> "optuna.Study":
        """The trials as an Optuna study, for Optuna's plots, importances and dashboard.

        Args:
            storage: an Optuna storage's URL to write it to, such as sqlite:///optuna.db, which
                `optuna-dashboard` reads; without one, the study is in memory alone.
        """
        from autoprompt.export.optuna_study import build_study

        return build_study(self.trials, name=self.name, storage=storage, direction=self.direction)

    def evaluate(
        self,
        data: str,
        *,
        text: str | None = None,
        label: str | None = None,
        metric: str | None = None,
        retrain: bool = False,
        quiet: bool = False,
    ) -> dict[str, Any]:
        """Score the best prompt, the ensemble, the template alone and the baselines on other
        labelled texts; the scores are stored. See `autoprompt.evaluation.evaluate`.

        Args:
            retrain: train the baselines again that keep no model, such as fine-tuning.

        Raises:
            SearchUnfinishedError: the search has not finished.
            DataError: the texts cannot be read, or have other labels than the search.
            ModelError: the model is no longer where it was.
        """
        from autoprompt.evaluation.evaluate import evaluate
        from autoprompt.progress import SearchProgress

        if self.state != State.FINISHED:
            raise SearchUnfinishedError(
                f"search {self.name!r} is {self.state}; only a finished one can be evaluated"
            )
        ensemble = self.ensemble
        best = self.best_prompt
        evaluated = evaluate(
            self._store,
            self.record,
            best,
            ensemble.members,
            ensemble.combination,
            data,
            abstention=ensemble.abstention,
            text=text,
            label=label,
            metric=metric,
            retrain=retrain,
            progress=SearchProgress(quiet=quiet),
        )
        self.__dict__.pop("evaluations", None)
        return evaluated

    def on_other_model(
        self, model: str, data: str | None = None, *, quiet: bool = False
    ) -> dict[str, Any]:
        """The hard prompts of this search on another model, beside that model's zero-shot; see
        `autoprompt.evaluation.other_model`.

        Args:
            data: labelled texts; the validation split without any.

        Raises:
            BadInputError: the search has found no hard prompt, or its question does not suit the
                model.
            DataError, ModelError: the texts or a model cannot be read.
        """
        from autoprompt.evaluation.candidates import CANDIDATES
        from autoprompt.evaluation.other_model import on_other_model
        from autoprompt.progress import SearchProgress

        records = self._store.prompts(self.id, limit=CANDIDATES)
        return on_other_model(self.record, records, model, data, SearchProgress(quiet=quiet))

    def explain(self, trial: int | None = None, *, quiet: bool = False) -> dict[str, Any]:
        """The best prompt, or this trial's, without each of its positions in turn; see
        `autoprompt.evaluation.left_out`.

        Raises:
            SearchUnfinishedError: no trial has a score yet.
            BadInputError: this one has none.
            DataError, ModelError: the texts or the model are gone, or not what they were.
        """
        from autoprompt.evaluation.left_out import left_out
        from autoprompt.progress import SearchProgress

        number = self.best.number if trial is None else trial
        found = self.prompts([number])
        if not found:
            raise BadInputError(f"search {self.name!r} has no prompt of a trial {number}")
        return left_out(self.record, found[0], SearchProgress(quiet=quiet))

    def export(
        self,
        folder: str | Path,
        form: "Format" = "json",
        *,
        trial: int | None = None,
        ensemble: bool = False,
        push: str | None = None,
        private: bool = True,
    ) -> Path:
        """Write prompts to a new folder; see `autoprompt.export.prompt_folder.export`.

        Args:
            push: ORG/NAME on the Hugging Face Hub to upload it to, too; see
                `autoprompt.export.hub`.
            private: whether nobody else may see it there.

        Raises:
            UploadFailedError: the upload went wrong; the folder stays.
        """
        from autoprompt.export import hub
        from autoprompt.export.prompt_folder import export

        if push is not None:
            hub.check_push(push, private)
        written = export(self, folder, form, trial=trial, ensemble=ensemble)
        if push is not None:
            hub.push(written, push, private)
        return written

    def report(self, path: str | Path, *, texts: bool = True, explain: bool = False) -> Path:
        """Write the HTML report to a new file; see `autoprompt.reporting.report.write_report`.

        Args:
            explain: load the model, tell what the best prompt's parts do (see `explain`), and
                cluster the texts by its hidden states.

        Raises:
            BadInputError: the file exists, or its folder does not.
            SearchUnfinishedError: no trial has a score yet.
            DataError, ModelError: to explain, and the texts or the model are gone, or not what
                they were.
        """
        from autoprompt.reporting.report import write_report

        if not explain:
            return write_report(self, path, texts=texts)
        from autoprompt.evaluation.left_out import left_out, scorer_of
        from autoprompt.evaluation.own_texts import splits_of
        from autoprompt.progress import SearchProgress
        from autoprompt.workers.baselines.hidden_states import HiddenStates

        progress, splits = SearchProgress(), splits_of(self.record)
        [best] = self.prompts([self.best.number])
        scorer = scorer_of(self.record, progress)
        explained = left_out(self.record, best, progress, scorer)
        read = {"validation": splits.validation.texts, "test": splits.test.texts}
        states = {}
        for name, own in read.items():
            with progress.step(f"reading {len(own)} {name} texts"):
                kept = HiddenStates(scorer)
                kept.keep(own, most_layers=1)
                states[name] = kept.at(own, kept.layers[-1])
        return write_report(self, path, texts=texts, explained=explained, states=states)

    def delete(self, *, quiet: bool = False) -> None:
        """Take the search out of the store, with all that is of it; see `autoprompt.delete`.

        Raises:
            BadInputError: it runs, or another one that is not finished starts from its prompts.
        """
        from autoprompt.controller.deletion import delete
        from autoprompt.progress import SearchProgress

        delete(self._store, [self._store.find(str(self.id))], SearchProgress(quiet=quiet))

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from autoprompt.reporting.notebook_view import notebook_view

        return notebook_view(self)
