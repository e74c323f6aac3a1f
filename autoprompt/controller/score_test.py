"""The test texts, asked once: of the prompts, and of what stands beside them."""

from collections.abc import Sequence

from autoprompt.controller.executor import Executor
from autoprompt.preparation.prepare import Prepared
from autoprompt.store import BaselineRecord, PromptRecord
from autoprompt.workers.answers import answers_of
from autoprompt.workers.baselines import BASELINES
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.vote import Floats


def score_test(
    prepared: Prepared,
    prompts: Sequence[PromptRecord],
    baselines: Sequence[BaselineRecord],
    executor: Executor,
) -> tuple[Floats, list[Floats | None]]:
    """Log-probabilities [1 + N, B, L] of the test texts: without a prompt, then with each; and of
    each baseline [B, L], None of one that failed."""
    contents = [Prompt("").to_bytes(), *(prompt.content for prompt in prompts)]
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
    places = [distinct.index(content) for content in contents]
    return log_probs[places], [found.get(record.name) for record in baselines]
