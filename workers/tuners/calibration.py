"""What the model would say anyway, taken off what it says of a text.

A prompt leans to one label before any text is read. The lean is measured once per prompt, kept
with it, and taken off the log-probabilities of every text, here and in every later prediction.
"""

from dataclasses import replace

from autoprompt.search_spaces.kind_spaces import Calibration
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.examples import Examples

#: Texts, or columns of them, that say nothing (Zhao et al. 2021, "Calibrate Before Use").
_CONTENT_FREE = ("N/A", "...", "nothing")

#: Train texts whose mean answer is taken for the lean (Zhou et al. 2023, "Batch Calibration").
_BATCH = 128


def calibrated(
    prompt: Prompt, calibration: Calibration, scorer: Scorer, examples: Examples
) -> Prompt:
    """The prompt with its prior: log-probabilities [L] that scoring takes off.

    Args:
        calibration: where answers have thresholds, they are fitted whatever it says. content_free
            measures on texts that say nothing, batch on train texts without
            looking at their labels, none leaves the prompt as it is.
    """
    readout = scorer.task.readout
    if readout.has_thresholds:
        texts, expected = examples.train[:_BATCH], examples.train_labels[:_BATCH]
        log_probs = scorer.log_probs([prompt], texts)[0]
        return replace(prompt, prior=readout.thresholds(log_probs, expected))
    if calibration == "none" or readout.continued:
        return prompt
    if calibration == "content_free":
        texts = scorer.tokenize([scorer.task.question.everywhere(cell) for cell in _CONTENT_FREE])
    else:
        texts = examples.train[:_BATCH]
    log_probs = scorer.log_probs([prompt], texts)[0]
    return replace(prompt, prior=scorer.task.readout.prior(log_probs))
