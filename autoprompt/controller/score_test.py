"""The test texts, asked once: of the prompts, and of what stands beside them."""

from collections.abc import Sequence

from autoprompt.controller.executor import Executor
from autoprompt.evaluation.asked_together import AskedTogether
from autoprompt.preparation.prepare import Prepared
from autoprompt.store import BaselineRecord, Candidate
from autoprompt.workers.answers import answers_of
from autoprompt.workers.vote import Floats


def score_test(
    prepared: Prepared,
    members: Sequence[Candidate],
    baselines: Sequence[BaselineRecord],
    executor: Executor,
) -> tuple[Floats, list[Floats | None]]:
    """Log-probabilities [1 + N, B, L] of the test texts: without a prompt, then of each member; and
    of each baseline [B, L], None of one that failed.

    Args:
        members: prompts, and of the baselines those that vote.

    Raises:
        AutopromptError: a baseline votes and failed.
    """
    asked = AskedTogether(members, baselines)
    texts, answers = prepared.splits.test.texts, answers_of(prepared.config.task)
    log_probs = executor.score_texts(prepared.job, asked.prompts, texts, asked.fitted)
    return asked.told(
        log_probs, {name: answers.unpacked(content) for name, content in asked.trained}
    )
