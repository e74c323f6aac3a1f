"""One metric, tuner, kind of answers, selection, callback and stopping rule."""

import autoprompt
from autoprompt.controller.stopping_rule import NoStopping
from autoprompt.workers.answers.label_words import LabelWords
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.tuners.progress import AtRung, rungs_by_step

#: The numbers of the trials that a `Basket` was told of.
GATHERED: list[int] = []


def halved(expected, predicted):
    """Half of the accuracy."""
    return (expected == predicted).mean() / 2


def tune_one_word(plan, scorer, examples, fractions):
    """Try another token at each step."""
    for step, rung in rungs_by_step(plan.budget, fractions).items():
        yield AtRung(rung, step, Prompt("one word", (step + 3,)), [0.5])


class Spoken(LabelWords):
    """Label words under another name."""


def last(pool, size):
    """The worst candidate alone."""
    return [len(pool.scores) - 1]


class Basket(autoprompt.Callback):
    """Gathers the trials that end."""

    def trial_ended(self, trial):
        GATHERED.append(trial.number)


class Never(NoStopping):
    """Stops nothing."""
