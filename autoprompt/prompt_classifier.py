"""A search as a scikit-learn classifier."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from autoprompt.search_spaces.errors import BadInputError

if TYPE_CHECKING:
    from autoprompt.ensemble.predictor import Prediction

#: What the columns of a list of texts, and of its labels, are called.
_TEXT, _LABEL = "text", "label"


class PromptClassifier(ClassifierMixin, BaseEstimator):
    """Searches prompts on a frozen model, and lets the best few vote.

    `fit` runs a whole search and stores it as ever: `result_` is what `autoprompt.load` gives. The
    texts are parted into train, validation and test there; a tenth is enough for test where others
    judge the classifier, as `cross_val_score` does.

        classifier = PromptClassifier(model="Qwen/Qwen2.5-0.5B-Instruct", trials=16)
        classifier.fit(texts, labels).predict(["a joy from start to finish"])

    Args:
        model: as for `autoprompt.search`.
        template: what is asked of each text; its columns are {text}, or those of a DataFrame.
        label_words: each label, and the word or words for it.
        trials, workers, seed, db, quiet: as for `autoprompt.search`. With 0 workers the search is
            run in this process.
        space: a preset's name, a file, or a space.
        sizes: how the texts are parted: numbers or fractions, as `data.sizes` has them.
        settings: the YAML's other keys, as for `autoprompt.search`.

    Attributes:
        classes_: [L], the labels, sorted.
        result_: the search's `SearchResult`.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        template: str | None = None,
        label_words: Mapping[Any, Any] | None = None,
        trials: int | None = None,
        workers: int = 0,
        seed: int | None = None,
        space: Any = None,
        sizes: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        db: str | None = None,
        quiet: bool = True,
    ) -> None:
        self.model = model
        self.template = template
        self.label_words = label_words
        self.trials = trials
        self.workers = workers
        self.seed = seed
        self.space = space
        self.sizes = sizes
        self.settings = settings
        self.db = db
        self.quiet = quiet

    def fit(self, X: Any, y: Sequence[Any]) -> "PromptClassifier":  # noqa: N803 - as scikit-learn
        """Search.

        Args:
            X: [B] texts, or a DataFrame whose columns the template reads.
            y: [B] labels.

        Raises:
            AutopromptError: as `autoprompt.search`.
        """
        from autoprompt.api import search
        from autoprompt.preparation.given_config import laid_over

        labels = np.asarray(y)
        if labels.dtype.kind == "f":
            raise BadInputError(
                f"y: the labels are floats, such as {labels[0]}, and labels are names: give them "
                "as text or whole numbers"
            )
        columns = _columns(X)
        if any(len(cells) != len(labels) for cells in columns.values()):
            raise BadInputError(f"y: {len(labels)} labels, and X has another number of texts")
        label = "y" if _LABEL in columns else _LABEL
        asked = {"template": self.template, "label_words": self.label_words}
        given: dict[str, Any] = {
            "task": {key: value for key, value in asked.items() if value is not None}
        }
        if self.sizes is not None:
            given["data"] = {"sizes": dict(self.sizes)}
        if self.space is not None:
            given["space"] = self.space
        self.result_ = search(
            {**columns, label: list(map(str, labels.tolist()))},
            text=_TEXT if _TEXT in columns else None,
            label=label,
            model=self.model,
            trials=self.trials,
            workers=self.workers,
            seed=self.seed,
            db=self.db,
            quiet=self.quiet,
            **laid_over(given, self.settings or {}),
        )
        self.classes_ = np.unique(labels)
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """[B], the labels that the members vote for; where the search abstains, the likeliest."""
        known = dict(zip(self._names, self.classes_, strict=True))
        voted = [
            max(one.probabilities, key=one.probabilities.__getitem__)
            if one.label is None
            else one.label
            for one in self._answered(X)
        ]
        return np.array([known[label] for label in voted], dtype=self.classes_.dtype)

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """[B, L], in the order of `classes_`."""
        answered = self._answered(X)
        rows = [[one.probabilities[name] for name in self._names] for one in answered]
        return np.array(rows).reshape(len(answered), len(self.classes_))

    @property
    def _names(self) -> list[str]:
        """The labels as the search calls them."""
        return list(map(str, self.classes_.tolist()))

    def _answered(self, X: Any) -> "list[Prediction]":  # noqa: N803
        from autoprompt.workers.data_files import texts_of

        check_is_fitted(self, "result_")
        given = _columns(X)
        names = self.result_.config.columns_in()
        missing = [column for column in names.values() if column not in given]
        if missing:
            raise BadInputError(f"X: no column {missing[0]!r}; it has {', '.join(given)}")
        texts = texts_of({name: given[column] for name, column in names.items()})
        return self.result_.ensemble.predict(texts)


def _columns(texts: Any) -> dict[str, list[str]]:
    """Texts as columns: those of a DataFrame, or one of them all."""
    if hasattr(texts, "columns"):
        return {str(name): list(map(str, texts[name])) for name in texts.columns}
    cells = np.asarray(texts, dtype=object).ravel().tolist()
    odd = next((cell for cell in cells if not isinstance(cell, str)), None)
    if odd is not None:
        raise BadInputError(f"X: texts are strings or a DataFrame's columns, not {odd!r:.60}")
    return {_TEXT: cells}
