"""The engine's rows on one device: what it can do, and how much of that is used. JSON on stdout, a
table on stderr.

    python -m benchmarks.gpu                          the demo's model on a GPU, made for 8 minutes
    python -m benchmarks.gpu --model FOLDER --dtype float16
    python -m benchmarks.gpu --device cpu --small     a few texts and steps, to see that it runs

Rows that time does not suffice for are left out and named.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.rows import Text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples
from benchmarks.limit import (
    Measured,
    judge,
    median_seconds,
    name_of,
    random_prompts,
    rates,
    train,
    wait,
)
from benchmarks.our_trial import KV_PLAN, PLAN
from benchmarks.setting import MODEL, TASK, VIRTUAL_TOKENS, movie_examples, movie_splits

#: No row is begun after so many seconds.
SECONDS = 400

DTYPES = (torch.float32, torch.bfloat16, torch.float16)

KINDS: dict[str, Measured] = {
    "soft": PLAN,
    "soft at the end": PLAN.model_copy(update={"position": "end"}),
    "KV": KV_PLAN,
}


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        rows: of a plain product.
        populations: prompts side by side.
    """

    rows: int
    train: int
    validation: int
    steps: int
    populations: tuple[int, ...]


FULL = Size(rows=8192, train=512, validation=400, steps=20, populations=(1, 4, 16, 64))
SMALL = Size(rows=64, train=16, validation=8, steps=2, populations=(1, 4))


Row = dict[str, float]


def rows(scorer: Scorer, size: Size) -> dict[str, Callable[[], Row]]:
    """What is measured, by its name; the first row fills the cache that later ones go over."""
    whole = movie_examples(scorer)
    examples = replace(
        whole,
        train=whole.train[: size.train],
        train_labels=whole.train_labels[: size.train],
        validation=whole.validation[: size.validation],
        validation_labels=whole.validation_labels[: size.validation],
    )
    strings = movie_splits().validation.texts[: size.validation]
    found: dict[str, Callable[[], Row]] = {
        "all train texts encoded": partial(encode, scorer, examples)
    }
    for name, plan in KINDS.items():
        for count in size.populations:
            what = f"training step, {count} {name}"
            found[what] = partial(train, plan, count, scorer, examples, size.steps)
    for name, plan in KINDS.items():
        for count in (size.populations[0], size.populations[-1]):
            found[f"judging, {count} {name}"] = partial(judge, plan, count, scorer, examples)
    for name, plan in KINDS.items():
        for count in (1, 5):
            what = f"new texts, {count} {name} voting"
            found[what] = partial(vote, random_prompts(plan, count, scorer), scorer, strings)
    return found


def encode(scorer: Scorer, examples: Examples) -> Row:
    """Every train text, into an empty cache."""
    fresh = Scorer(scorer.model, scorer.task, VIRTUAL_TOKENS)
    for each in (scorer, fresh):
        each.prefill(examples.validation, {"suffix", "end"})
    wait(scorer.model.device)
    started = time.perf_counter()
    fresh.prefill(examples.train, {"suffix", "end"})
    wait(scorer.model.device)
    seconds = time.perf_counter() - started
    scorer.prefill(examples.train, {"suffix", "end"})
    return {"seconds": seconds, "texts": len(examples.train)}


def vote(members: Sequence[Prompt], scorer: Scorer, strings: Sequence[Text]) -> Row:
    """Strings that nothing is kept of, beside members of an ensemble."""
    seconds = median_seconds(lambda: scorer.score_texts(members, strings), scorer.model.device)
    return {"seconds": seconds, "texts": len(strings)}


def measure(scorer: Scorer, size: Size, seconds: float) -> dict[str, Any]:
    """All rows, as far as time suffices.

    Args:
        seconds: after which no row is begun.
    """
    ends = time.perf_counter() + seconds
    device = scorer.model.device
    found: dict[str, Any] = {
        "device": device_name(device),
        "torch": torch.__version__,
        "dtype": name_of(scorer.model.dtype),
        "rates": rates(scorer, *DTYPES, rows=size.rows),
        "rows": {},
        "left out": [],
    }
    for name, work in rows(scorer, size).items():
        if time.perf_counter() > ends:
            found["left out"].append(name)
            continue
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        row = work()
        if device.type == "cuda":
            row["peak_bytes"] = torch.cuda.max_memory_allocated(device)
        if "rate" in row:
            row["share"] = row["rate"] / max(found["rates"].values())
        found["rows"][name] = row
    return found


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def table(found: dict[str, Any]) -> Table:
    """What was measured, for people."""
    dtypes = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in found["rates"].items())
    title = f"{found['device']}, {found['dtype']}; plain products in TFLOP/s: {dtypes}"
    shown = Table("what", "seconds", "texts/s", "TFLOP/s", "share", "peak GB", title=title)
    for name, row in found["rows"].items():
        cells = (
            f"{row['seconds']:.4f}",
            f"{row['texts'] / row['seconds']:.0f}" if "texts" in row else "",
            f"{row['rate'] / 1e12:.3g}" if "rate" in row else "",
            f"{row['share']:.1%}" if "share" in row else "",
            f"{row['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in row else "",
        )
        shown.add_row(name, *cells)
    for name in found["left out"]:
        shown.add_row(name, "no time left")
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--model", default=MODEL.path, help="a causal model's folder or file")
    parser.add_argument("--small", action="store_true", help="few texts and steps")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="no row begins after them")
    given = parser.parse_args(arguments)
    spec = ModelSpec(path=given.model, device=given.device, dtype=given.dtype)
    scorer = load_scorer(spec, TASK, VIRTUAL_TOKENS)
    found = measure(scorer, SMALL if given.small else FULL, given.seconds)
    Console(stderr=True, width=110).print(table(found))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
