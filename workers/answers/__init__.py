"""Answers: what is scored of the model's next words, the loss, the decision and the vote; one file
a kind."""

from autoprompt.workers.answers.answers import Answers, Readout, Right
from autoprompt.workers.answers.kinds import ANSWERS, answers_of

__all__ = ["ANSWERS", "Answers", "Readout", "Right", "answers_of"]
