"""The test texts, asked once: of the prompts, and of what stands beside them."""

from collections.abc import Sequence

import numpy as np

from autoprompt.controller.executor import Executor
from autoprompt.preparation.prepare import Prepared
from autoprompt.store import BaselineRecord, Candidate
from autoprompt.workers.answers import answers_of
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.baselines.fitting import demand_answers
from autoprompt.workers.prompt import Prompt
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
    alone = Prompt("").to_bytes()
    contents = [alone, *(member.content for member in members if member.baseline is None)]
    asked, fitted, trained = (
        [
            (record.name, record.content)
            for record in baselines
            if record.content is not None and BASELINES[record.name].does == does
        ]
        for does in ("ask", "fit", "train")
    )
    # The best one usually votes too, and the template alone is a baseline; each is scored once.
    distinct = list(dict.fromkeys([*contents, *(content for _, content in asked)]))
    texts = prepared.splits.test.texts
    log_probs = executor.score_texts(prepared.job, distinct, texts, fitted)
    answers = answers_of(prepared.config.task)
    found = {
        **{name: log_probs[distinct.index(content)] for name, content in asked},
        **{name: own for (name, _), own in zip(fitted, log_probs[len(distinct) :], strict=True)},
        **{name: answers.unpacked(content) for name, content in trained},
    }
    voting = [member.baseline for member in members if member.baseline is not None]
    demand_answers(voting, [found[name] for name in voting])
    said = [
        log_probs[distinct.index(member.content)]
        if member.baseline is None
        else found[member.baseline]
        for member in members
    ]
    without = log_probs[distinct.index(alone)]
    return np.stack([without, *said]), [found.get(record.name) for record in baselines]
