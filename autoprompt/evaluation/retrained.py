"""Baselines with a model of their own, which a search does not keep: trained again to answer other
texts."""

from collections.abc import Sequence

from autoprompt.config import SearchConfig
from autoprompt.evaluation.own_texts import splits_of
from autoprompt.progress import SearchProgress
from autoprompt.search_model import model_of
from autoprompt.store import BaselineRecord, SearchRecord
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.baselines.fitting import train_baseline
from autoprompt.workers.job import Job
from autoprompt.workers.rows import Text
from autoprompt.workers.text_cache import CacheSpec
from autoprompt.workers.vote import Floats


class Retrained:
    """Those of a search, at the rates that were best there."""

    def __init__(
        self, search: SearchRecord, baselines: Sequence[BaselineRecord], progress: SearchProgress
    ) -> None:
        """Nothing is trained yet.

        Args:
            baselines: of which those are trained that train a model and did not fail.

        Raises:
            DataError: there are such, and the search's texts are gone, or not what they were.
        """
        self._search, self._progress = search, progress
        self._rates = {
            record.name: record.settings["learning_rate"]
            for record in baselines
            if record.error is None and BASELINES[record.name].does == "train"
        }
        self._splits = splits_of(search) if self._rates else None

    def answers(self, texts: Sequence[Text]) -> dict[str, Floats]:
        """Of each, its name and what it says of B texts, [B, A].

        Raises:
            Exception: whatever training may raise, such as that memory runs out.
        """
        if self._splits is None:
            return {}
        config, splits = SearchConfig.model_validate(self._search.config), self._splits
        everything = config.bagging is not None
        job = Job(
            model=model_of(self._search),
            task=config.task,
            train=splits.train.beside(splits.validation) if everything else splits.train,
            validation=splits.validation,
            longest_prompt=config.space.longest_prompt(),
            cache=CacheSpec(),
            positions=config.space.positions,
            fractions=(1.0,),
            modules=config.module_folders,
            class_weights=config.data.class_weights is not None,
        )
        found = {}
        for name, rate in self._rates.items():
            with self._progress.step(f"training {name} again, at a rate of {rate:g}"):
                again = train_baseline(job, name, rate, self._search.seed, texts)
            assert again.unseen is not None
            found[name] = again.unseen
        return found
