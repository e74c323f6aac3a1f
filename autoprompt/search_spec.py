"""The parts of a search's YAML that say how it is run, and what is made of its trials."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.durations import Seconds
from autoprompt.workers.vote import Vote


class SearchSpec(Document):
    """How the search is run."""

    #: How many prompts are tried.
    trials: int = Field(default=32, ge=1)
    #: For how long: seconds, or a time such as 10m or 1h30m, from when the first trial may begin.
    #: Then no trial is begun any more, and those under way end at their next rung; the vote,
    #: baselines and the test split come on top. null for no limit.
    time_limit: Seconds | None = None
    #: What ends the search when its best score is unlikely to rise: stagnation, when so many trials
    #: in a row have not improved on it; regret_bound, when what it may still gain is below its own
    #: standard error (Makarova et al. 2022). null runs all trials.
    terminator: Literal["stagnation", "regret_bound"] | None = None
    #: How many: trials in a row for stagnation, complete trials before regret_bound is asked.
    terminator_trials: int = Field(default=20, ge=2)
    #: Trials at the same time, each in a process that holds the model; auto takes as many as the
    #: Ray cluster has room for, more when it grows and fewer when it shrinks; 0 runs them one after
    #: another in the process that searches, without Ray.
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = 1
    #: Trials that each of them carries out side by side: one pass over the texts trains all of
    #: their prompts. auto measures how many the hardware uses well before the search begins, and
    #: fixes that.
    trials_per_worker: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    #: With one worker, the same seed gives the same prompts byte for byte.
    seed: int = Field(default=0, ge=0, lt=2**32)
    #: How often a trial reports and may be stopped: at its end, at 1/reduction_factor of its
    #: budget, at 1/reduction_factor^2, ... (ASHA). 1 lets every trial run to its end.
    rungs: int = Field(default=3, ge=1)
    #: At each rung the best 1/reduction_factor of the trials go on, and each rung is
    #: reduction_factor times as long.
    reduction_factor: int = Field(default=2, ge=2)
    #: What stops a trial at a rung: asha, none, or your own as module:function.
    stopping: str = "asha"
    #: How many validation texts judge a trial's first rung. At each further one it is
    #: reduction_factor times as many, and all of them at its last. auto takes 500, where there are
    #: 1000 or more; all judges every rung by all of them.
    judging: Annotated[int, Field(ge=1)] | Literal["auto", "all"] = "auto"
    #: A trial also ends by itself after so many rungs without a better score; null for never.
    patience: int | None = Field(default=None, ge=1)
    #: Cores for each worker.
    cpus_per_worker: int = Field(default=1, ge=1)
    #: GPUs for each worker, or a part of one; auto shares out those that are there.
    gpus_per_worker: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    #: And of the resources that Ray's nodes were given names for.
    resources_per_worker: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    #: A trial whose worker dies is begun so often before it is given up.
    attempts: int = Field(default=3, ge=1)
    #: A trial that reports nothing for so long is taken for hung, and given up.
    hung_after_seconds: float = Field(default=3600.0, gt=0)
    #: Memory for the KV cache of the texts, on a GPU the device's and the host's together; what
    #: does not fit is read or computed each time.
    cache_gib_per_worker: float = Field(default=4.0, gt=0)
    #: Files for the same, shared by the workers of a machine and by later searches; 0 for none. A
    #: search on a CPU stores 0 where not all fit in memory and computing them is faster.
    cache_gib_on_disk: float = Field(default=16.0, ge=0)
    #: Address of a running Ray cluster; without one, Ray is started here for the search.
    ray_address: str | None = None

    @property
    def together(self) -> int:
        """Trials that a worker carries out side by side, once that is fixed."""
        assert self.trials_per_worker != "auto"
        return self.trials_per_worker

    @property
    def fractions(self) -> tuple[float, ...]:
        """The rungs as parts of a trial's budget, rising to 1."""
        last = self.rungs - 1
        return tuple(self.reduction_factor ** (rung - last) for rung in range(self.rungs))


#: Who may vote.
Members = Literal["prompts", "any"]


class EnsembleSpec(Document):
    """Who votes in the end."""

    #: How many; null lets the validation split decide.
    size: int | None = Field(default=None, ge=1)
    #: By counted heads (majority) or heads weighted by their scores (weighted), by the mean of
    #: recalibrated log-probabilities (mean), or by logistic regression over them (stacked). A
    #: metric of probabilities needs one of the latter three, and is the reason for a weighted vote
    #: where nothing else is said.
    vote: Vote = "majority"
    #: Which: the best few (top), a greedy draw (greedy; Caruana et al. 2004), those that disagree
    #: (diversity), those that ask otherwise, in template, label words, position or kind (varied),
    #: or your own as module:function.
    select: str = "top"
    #: Prompts alone, or any that can answer a text: the fitted baselines, too, but for those that
    #: train a model, which is not kept.
    members: Members = "prompts"


class BaggingSpec(Document):
    """The best plans, carried out once a fold on all labelled texts but that fold: the prompts of
    the folds vote, and each text is judged by those that did not learn it."""

    #: Into how many folds the labelled texts, train and validation, are divided.
    folds: int = Field(default=5, ge=2)
    #: How often they are divided anew.
    repeats: int = Field(default=1, ge=1)
    #: How many plans.
    plans: int = Field(default=5, ge=1)
    #: Carry each plan out on all labelled texts, too, and let that prompt vote in the place of the
    #: folds'. Everything is decided by the folds' predictions all the same.
    refit: bool = False
    #: How far the plans of a fold are trained to err differently, 0 to 1: what each is rewarded for
    #: standing apart from what they say together. Above 0 it matters which plans they are.
    negative_correlation: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _in_company(self) -> "BaggingSpec":
        if self.negative_correlation and self.plans == 1:
            raise ValueError(
                "negative_correlation trains plans to differ from one another: give plans 2 or more"
            )
        return self


class AbstainSpec(Document):
    """From which probability on the ensemble answers; below it, there is no answer."""

    #: The part of the answers that may be wrong.
    error: float = Field(gt=0, lt=1)
    #: null estimates the threshold on the texts that also chose the ensemble. A number guarantees
    #: it with that confidence, on a half of the test split, which chose nothing; coverage and error
    #: are then told of the other half.
    confidence: float | None = Field(default=None, ge=0.5, lt=1)


class ConfirmSpec(Document):
    """The finalists, trained again with other seeds before the best one is named."""

    #: How many of the best trials.
    top: int = Field(default=5, ge=1)
    #: How often each, besides the search's own trial.
    seeds: int = Field(default=3, ge=1)
