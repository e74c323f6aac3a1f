"""How near training and judging come to what the machine's matrix products allow.

    python -m benchmarks.limit

What must be done is counted (see `operations`), the machine's rate is that of plain products of the
model's own widths, in this process and with as many threads: the better dtype's.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from autoprompt.search_spaces import KVPlan, SoftPlan
from autoprompt.workers.prompt import Laid, Prompt, kv_prompt, lay, lay_rows
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import KeysAndValues
from autoprompt.workers.tuners import Examples
from benchmarks.operations import Operations, matrices
from benchmarks.our_trial import KV_PLAN, PLAN
from benchmarks.setting import MODEL, TASK, VIRTUAL_TOKENS, movie_examples
from benchmarks.steps import WARM_UP, timed_steps

#: A prompt that is counted here.
Measured = SoftPlan | KVPlan

#: Rows of a plain product: enough to keep the cores busy.
ROWS = 2048
REPEATS = 3
STEPS = 10

#: What is trained and judged: how many of which prompts, side by side.
TRAINED: dict[str, tuple[int, Measured]] = {
    "one soft prompt": (1, PLAN),
    "one soft prompt at the end": (1, PLAN.model_copy(update={"position": "end"})),
    "one KV prompt": (1, KV_PLAN),
    "4 soft prompts": (4, PLAN),
    "4 KV prompts": (4, KV_PLAN),
    "16 KV prompts": (16, KV_PLAN),
}
JUDGED: dict[str, tuple[int, Measured]] = {
    "one KV prompt": (1, KV_PLAN),
    "16 KV prompts": (16, KV_PLAN),
    "one soft prompt": (1, PLAN),
}


def median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """The median of a few runs, after one that does not count."""
    seconds = []
    for _ in range(REPEATS + 1):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def matrix_rate(scorer: Scorer, dtype: torch.dtype, rows: int) -> float:
    """Operations a second of plain products with matrices of the layers' shapes, each as often as
    the model has it."""
    device = scorer.model.device
    operations, seconds = 0.0, 0.0
    for (height, width), count in Counter(matrices(scorer.model.model).values()).items():
        inputs = torch.randn(rows, width, device=device, dtype=dtype)
        matrix = torch.randn(height, width, device=device, dtype=dtype)
        product = partial(torch.nn.functional.linear, inputs, matrix)
        operations += 2.0 * rows * height * width * count
        seconds += median_seconds(product, device) * count
    return operations / seconds


def blank(plan: Measured, scorer: Scorer) -> Laid:
    """A prompt as a plan lays it, of zeros."""
    if isinstance(plan, KVPlan):
        return lay_rows(torch.zeros(plan.length, *_row_shape(scorer)), plan.position)
    return lay(torch.zeros(plan.length, scorer.model.hidden_size), plan.position)


def random_prompts(plan: Measured, count: int, scorer: Scorer) -> list[Prompt]:
    """Prompts as a plan lays them, that nobody trained."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(plan, KVPlan):
        rows = [
            torch.randn(plan.length, *_row_shape(scorer), generator=generator) for _ in range(count)
        ]
        return [kv_prompt(own, plan.position) for own in rows]
    vectors = torch.randn(count, plan.length, scorer.model.hidden_size, generator=generator)
    return [Prompt("", vectors=own, position=plan.position) for own in vectors]


def _row_shape(scorer: Scorer) -> tuple[int, ...]:
    states = scorer.cache.states
    assert isinstance(states, KeysAndValues)
    assert states.row_shape is not None
    return states.row_shape


def train(plan: Measured, count: int, scorer: Scorer, examples: Examples, steps: int) -> Any:
    """A step of so many prompts side by side, of which each has texts computed before."""
    operations, laid = Operations(scorer), blank(plan, scorer)
    update = {"steps": WARM_UP + steps + 1}
    plans = {n: plan.model_copy(update=update | {"seed": n}) for n in range(count)}
    timed = timed_steps(plans, scorer, examples)
    done = [
        count * operations.training(laid, [examples.train[index] for index in step.batch])
        for step in timed
    ]
    rates = [each / step.seconds for each, step in zip(done, timed, strict=True)]
    return {
        "operations": statistics.median(done),
        "seconds": statistics.median(step.seconds for step in timed),
        "rate": statistics.median(rates),
    }


def judge(plan: Measured, count: int, scorer: Scorer, examples: Examples) -> Any:
    """All validation texts, computed before, beside so many prompts."""
    prompts, texts = random_prompts(plan, count, scorer), examples.validation
    done = count * Operations(scorer).judging(blank(plan, scorer), texts)
    seconds = median_seconds(lambda: scorer.log_probs(prompts, texts), scorer.model.device)
    return {"operations": done, "seconds": seconds, "rate": done / seconds}


def rates(scorer: Scorer, *dtypes: torch.dtype, rows: int = ROWS) -> dict[str, float]:
    """The rate of each dtype, by its name."""
    return {name_of(dtype): matrix_rate(scorer, dtype, rows) for dtype in dtypes}


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main() -> None:
    scorer = load_scorer(MODEL, TASK, VIRTUAL_TOKENS)
    examples = movie_examples(scorer)
    for texts in (examples.train, examples.validation):
        scorer.prefill(texts, {"suffix", "end"})
    found = {
        "threads": torch.get_num_threads(),
        "dtype": name_of(scorer.model.dtype),
        "rates": rates(scorer, torch.float32, torch.bfloat16),
        "training": {
            name: train(plan, count, scorer, examples, STEPS)
            for name, (count, plan) in TRAINED.items()
        },
        "judging": {
            name: judge(plan, count, scorer, examples) for name, (count, plan) in JUDGED.items()
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
