"""The same soft prompt by our engine, its 8 tokens after the text or behind the whole template; or
a KV prompt of 8 positions.

Run twice in one process: the first trial of a search computes the texts, later ones find them. Then
several of them side by side, of which each one's part is stated.

    python -m benchmarks.our_trial [--dtype float32] [--position end]
    python -m benchmarks.our_trial --kind kv [--together 16]
"""

import argparse
import json
import time
from dataclasses import asdict

from autoprompt.search_spaces import KVPlan, SoftPlan
from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Pack, Progress, tune
from benchmarks.setting import (
    BATCH_SIZE,
    LEARNING_RATE,
    MODEL,
    SEED,
    STEPS,
    TASK,
    VIRTUAL_TOKENS,
    Timed,
    movie_examples,
)

PLAN = SoftPlan(
    seed=SEED,
    length=VIRTUAL_TOKENS,
    init="vocabulary",
    learning_rate=LEARNING_RATE,
    steps=STEPS,
    batch_size=BATCH_SIZE,
    position="suffix",
)

#: Twice the steps of the soft one: PEFT's prompt is given as many when it stands beside this one.
KV_PLAN = KVPlan(
    seed=SEED,
    length=VIRTUAL_TOKENS,
    init="text",
    init_text="The overall sentiment is",
    learning_rate=0.01,
    steps=2 * STEPS,
    batch_size=BATCH_SIZE,
    position="end",
)


def trial(scorer: Scorer, examples: Examples, plan: SoftPlan | KVPlan, *, cold: bool) -> Timed:
    """One trial from its plan to its accuracy, as a worker runs it."""
    started = time.perf_counter()
    if cold:
        scorer.prefill(examples.validation, {plan.position})
        scorer.prefill(examples.train, {plan.position})
    (report,) = tune(plan, scorer, examples, fractions=(1.0,))
    ended = time.perf_counter()
    again = time.perf_counter()
    scorer.log_probs([report.prompt], examples.validation)
    evaluate = time.perf_counter() - again
    return Timed(ended - started - evaluate, evaluate, report.score)


def side_by_side(scorer: Scorer, examples: Examples, plan: SoftPlan | KVPlan, count: int) -> Timed:
    """Trials that differ in their seeds, as one worker carries them out together: the part of one,
    and their mean accuracy."""
    started = time.perf_counter()
    plans = {seed: plan.model_copy(update={"seed": seed}) for seed in range(count)}
    pack, scores = Pack(plans, scorer, examples, fractions=(1.0,)), []
    while pack.numbers:
        for told in pack.advance():
            assert isinstance(told.outcome, Progress), told.outcome
            scores.append(told.outcome.score)
    seconds = time.perf_counter() - started
    return Timed(seconds / count, 0.0, sum(scores) / count)


def run(
    dtype: str = "auto", kind: str = "soft", position: Position | None = None, together: int = 4
) -> dict[str, Timed]:
    """The first trial, a later one, and one of several."""
    plan: SoftPlan | KVPlan = KV_PLAN if kind == "kv" else PLAN
    if position is not None:
        plan = plan.model_copy(update={"position": position})
    scorer = load_scorer(MODEL.model_copy(update={"dtype": dtype}), TASK, VIRTUAL_TOKENS)
    examples = movie_examples(scorer)
    return {
        "first": trial(scorer, examples, plan, cold=True),
        "later": trial(scorer, examples, plan, cold=False),
        "one_of_several": side_by_side(scorer, examples, plan, together),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--kind", choices=["soft", "kv"], default="soft")
    parser.add_argument("--position", choices=["suffix", "end"])
    parser.add_argument("--together", type=int, default=4)
    timed = run(**vars(parser.parse_args()))
    print(json.dumps({name: asdict(each) for name, each in timed.items()}))
