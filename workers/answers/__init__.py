"""Answers: what is scored of the model's next words, the loss, the decision and the vote; one file
a kind."""

from autoprompt.workers.answers.answers import Answers, Readout
from autoprompt.workers.answers.kinds import ANSWERS, answers_of
from autoprompt.workers.vote import Ballot

__all__ = ["ANSWERS", "Answers", "Ballot", "Readout", "answers_of"]
